// Changes of files and folders, as the kernel tells of them.
#include "serve/watched_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/temp_folder.h"

namespace choir::serve {
namespace {

namespace fs = std::filesystem;

class Watched : public testing::Test {
 protected:
  // From now on what the paths lead to is watched, and nothing is left to tell.
  void begin() {
    files_.watch(paths());
    files_.watch(paths());
    ASSERT_TRUE(files_.watch(paths()));
    before_ = files_.changes();
  }
  bool changed() { return files_.changes() != before_; }
  WatchedFiles::Paths paths() const { return {.folder = folder_ / "models", .files = {file_}}; }

  const TempFolder folder_;
  std::string file_ = folder_.write("far/a.gguf", "a");
  WatchedFiles files_;
  std::uint64_t before_ = 0;
};

struct Row {
  const char* name;
  std::function<void(const TempFolder&)> change;
};

class Change : public Watched, public testing::WithParamInterface<Row> {
 protected:
  Change() {
    folder_.write("models/b.gguf", "b");
    folder_.write("elsewhere/c.gguf", "c");
    folder_.write("elsewhere/d.gguf", "d");
    fs::create_symlink(folder_ / "elsewhere/c.gguf", folder_ / "models/c.gguf");
    fs::create_symlink(folder_ / "elsewhere/not-yet.gguf", folder_ / "models/dangling.gguf");
    fs::create_symlink("far", folder_ / "link");
    file_ = folder_ / "link/a.gguf";
  }
};

TEST_P(Change, IsToldOnceAndAtOnce) {
  begin();
  EXPECT_FALSE(changed());
  GetParam().change(folder_);
  EXPECT_TRUE(changed());
  EXPECT_FALSE(files_.watch(paths())) << "what came before it was watched again is not known";
  begin();
  EXPECT_FALSE(changed());
}

const std::vector<Row> kChanges = {
    {"AFileIsWritten", [](const TempFolder& f) { f.write("far/a.gguf", "more"); }},
    {"AFileIsTouched",
     [](const TempFolder& f) {
       fs::last_write_time(f / "far/a.gguf", fs::file_time_type::clock::now());
     }},
    {"AFileIsReplaced",
     [](const TempFolder& f) {
       f.write("new", "a");
       fs::rename(f / "new", f / "far/a.gguf");
     }},
    {"AFileGoes", [](const TempFolder& f) { fs::remove(f / "far/a.gguf"); }},
    {"AFolderOnTheWayGoes", [](const TempFolder& f) { fs::rename(f / "far", f / "away"); }},
    {"ALinkOnTheWayLeadsElsewhere",
     [](const TempFolder& f) {
       fs::create_symlink("elsewhere", f / "other");
       fs::rename(f / "other", f / "link");
     }},
    {"AModelComes", [](const TempFolder& f) { f.write("models/new.gguf", "n"); }},
    {"AModelGoes", [](const TempFolder& f) { fs::remove(f / "models/b.gguf"); }},
    {"AModelGrows", [](const TempFolder& f) { f.write("models/b.gguf", "longer"); }},
    {"AModelBehindALinkGrows", [](const TempFolder& f) { f.write("elsewhere/c.gguf", "longer"); }},
    {"ADanglingLinkLeadsToAFile",
     [](const TempFolder& f) { f.write("elsewhere/not-yet.gguf", "n"); }},
    {"TheFolderGoes", [](const TempFolder& f) { fs::rename(f / "models", f / "away"); }},
};
INSTANTIATE_TEST_SUITE_P(Watched, Change, testing::ValuesIn(kChanges),
                         [](const auto& row) { return row.param.name; });

TEST_F(Watched, AFolderThatIsNotThereMayCome) {
  begin();
  folder_.write("models/b.gguf", "b");
  EXPECT_TRUE(changed());
}

TEST_F(Watched, NeighboursOfWhatIsWatchedSayNothing) {
  folder_.write("models/b.gguf", "b");
  begin();
  folder_.write("far/other.gguf", "o");
  folder_.write("beside", "o");
  EXPECT_FALSE(changed());
  EXPECT_TRUE(files_.watch(paths()));
}

TEST_F(Watched, OtherPathsAreWatchedFromThenOn) {
  begin();
  file_ = folder_.write("near.gguf", "n");
  EXPECT_FALSE(files_.watch(paths()));
  EXPECT_TRUE(changed()) << "who asked before does not know of them";
  begin();
  folder_.write("far/a.gguf", "of the paths before");
  EXPECT_FALSE(changed());
  folder_.write("near.gguf", "of these");
  EXPECT_TRUE(changed());
}

TEST_F(Watched, WhatOtherMachinesMayChangeIsNotWatched) {
  file_ = "/proc/self/status";  // of a file system that tells nothing
  EXPECT_FALSE(files_.watch(paths()));
  EXPECT_FALSE(files_.watch(paths()));
}

}  // namespace
}  // namespace choir::serve
