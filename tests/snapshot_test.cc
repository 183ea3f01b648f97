#include "context/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "choir/request.h"
#include "tests/small_disk.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

std::atomic<int> syncs{0};

const Snapshot kSmall{"f1", "f16", {1, 2, 70000}, std::string("cells\0and more", 14)};

class SnapshotFile : public testing::Test {
 protected:
  std::string bytes() const { return text_of_file(path_); }
  // What read_snapshot() says to a file of these bytes.
  Result<Snapshot> read(std::string_view bytes) {
    folder_.write("file", bytes);
    return read_snapshot(folder_ / "file");
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "kv"))
      names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }
  std::string name() const { return std::filesystem::path(path_).filename().string(); }

  const TempFolder folder_;
  const std::string path_ = snapshot_path(folder_.path(), "a", "b");
};

void expect_refused(const Result<Snapshot>& got, const std::string& says) {
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kInvalidArgument) << got.error().message;
  EXPECT_THAT(got.error().message, AllOf(HasSubstr("snapshot '"), HasSubstr(says)));
}

struct ContentCase {
  std::string name;
  Snapshot snapshot;
};
void PrintTo(const ContentCase& c, std::ostream* out) { *out << c.name; }

class SnapshotContent : public SnapshotFile, public testing::WithParamInterface<ContentCase> {};

TEST_P(SnapshotContent, ComesBackAsItWasWritten) {
  ASSERT_TRUE(write_snapshot(path_, GetParam().snapshot));
  EXPECT_EQ(read_snapshot(path_).value(), GetParam().snapshot);
  EXPECT_THAT(names(), ElementsAre(name()));
}

const ContentCase kContents[] = {
    {"Small", kSmall},
    {"Empty", {}},
    {"OnlyTokens", {"f", "f16", {5}, ""}},
    {"OnlyCells", {"", "", {}, "x"}},
    {"NamesOfTheMostBytes",
     {std::string(kNameBytesMax, '\0'),
      std::string(kNameBytesMax, 'k'),
      {-1},
      "x",
      std::string(kNameBytesMax, 's')}},
    {"OfAScope", {"f1", "f16", {1, 2}, "cells", "tenant"}},
    {"SeveralBlocks", {"f", "f16", std::vector<TokenId>(100'000, 7), std::string(3 << 20, 'x')}},
};
INSTANTIATE_TEST_SUITE_P(, SnapshotContent, testing::ValuesIn(kContents),
                         [](const auto& c) { return c.param.name; });

TEST(SnapshotPath, IsTheSameInEveryBuild) {
  EXPECT_EQ(snapshot_path("/x", "writer", "42"), "/x/kv/adbcab766c18c0b833aa45163a10b874.kv");
}

TEST(SnapshotPath, DiffersWithTheBorderOfTheNames) {
  EXPECT_NE(snapshot_path("/x", "ab", "c"), snapshot_path("/x", "a", "bc"));
  EXPECT_NE(snapshot_path("/x", "a", ""), snapshot_path("/x", "", "a"));
}

TEST_F(SnapshotFile, IsForItsOwnerOnly) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat((folder_ / "kv").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
}

TEST_F(SnapshotFile, IsReplaced) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  ASSERT_TRUE(write_snapshot(path_, {"f2", "f16", {1}, "new"}));
  EXPECT_EQ(read_snapshot(path_).value().kv, "new");
  EXPECT_THAT(names(), ElementsAre(name()));
}

TEST_F(SnapshotFile, IsNotFoundWhereThereIsNone) {
  EXPECT_EQ(read_snapshot(path_).error().code, Code::kNotFound);
  EXPECT_TRUE(erase_snapshot(path_));
}

TEST_F(SnapshotFile, IsGoneAfterErase) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  ASSERT_TRUE(erase_snapshot(path_));
  EXPECT_EQ(read_snapshot(path_).error().code, Code::kNotFound);
}

TEST_F(SnapshotFile, CutAtAnyByteIsRefused) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  const std::string whole = bytes();
  ASSERT_EQ(read(whole).value(), kSmall);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE("cut to " + std::to_string(size) + " bytes");
    expect_refused(read(whole.substr(0, size)), "");
  }
}

TEST_F(SnapshotFile, WithAnyBitFlippedIsRefused) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  std::string altered = bytes();
  for (std::size_t i = 0; i < 8 * altered.size(); ++i) {
    SCOPED_TRACE("bit " + std::to_string(i % 8) + " of byte " + std::to_string(i / 8));
    const char before =
        std::exchange(altered[i / 8], static_cast<char>(altered[i / 8] ^ (1 << i % 8)));
    expect_refused(read(altered), "");
    altered[i / 8] = before;
  }
}

TEST_F(SnapshotFile, WithAnythingBehindItIsRefused) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  expect_refused(read(bytes() + '\0'), "torn");
  expect_refused(read(bytes() + bytes()), "torn");
}

TEST_F(SnapshotFile, WithAnAlteredHeaderIsRefusedUnread) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  std::string altered = bytes();
  ++altered[8];   // a byte more of model_fingerprint
  --altered[12];  // and one less of kv_type: the sum fits
  expect_refused(read(altered), "torn, or its header altered");
}

std::string with_right_checksums(std::string bytes) {
  const auto put = [&](std::size_t at, std::uint64_t sum) {
    std::memcpy(bytes.data() + at, &sum, sizeof sum);
  };
  put(32, XXH3_64bits(bytes.data(), 32));
  put(bytes.size() - 8, XXH3_64bits(bytes.data(), bytes.size() - 8));
  return bytes;
}

TEST_F(SnapshotFile, OfAnotherVersionIsRefused) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  std::string next = bytes();
  ++next[4];
  expect_refused(read(with_right_checksums(next)), "format version 2, this build reads 1");
}

// A file of before there were reuse scopes: 32 bits for the size of kv_type.
TEST_F(SnapshotFile, WithoutAScopeIsAsItWasBefore) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  std::uint32_t kv_type_bytes = 0;
  std::memcpy(&kv_type_bytes, bytes().data() + 12, sizeof kv_type_bytes);
  EXPECT_EQ(kv_type_bytes, 3U);
  EXPECT_EQ(bytes().size(), 40 + 2 + 3 + 3 * 4 + 14 + 8U);
}

struct Sizes {
  std::uint32_t fingerprint_bytes, kv_type_bytes;
  std::uint64_t tokens, kv_bytes;
};
struct LieCase {
  std::string name;
  Sizes sizes;  // of kSmall they are 2, 3, 3, 14
};
void PrintTo(const LieCase& c, std::ostream* out) { *out << c.name; }

class SnapshotLie : public SnapshotFile, public testing::WithParamInterface<LieCase> {};

// The checksums are right: only the sizes can tell.
TEST_P(SnapshotLie, IsRefused) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  std::string lie = bytes();
  ASSERT_EQ(with_right_checksums(lie), lie);
  std::memcpy(lie.data() + 8, &GetParam().sizes, sizeof(Sizes));
  expect_refused(read(with_right_checksums(lie)), "torn, or its header altered");
}

constexpr std::uint64_t kMost = ~std::uint64_t{0};
const LieCase kLies[] = {
    {"LongFingerprint", {3, 3, 3, 14}},
    {"HugeFingerprint", {0xFFFFFFFF, 3, 3, 14}},
    {"HugeType", {2, 0xFFFFFFFF, 3, 14}},
    {"AScopeOfOneByte", {2, 3 | 1U << 16U, 3, 14}},
    {"OneTokenMore", {2, 3, 4, 14}},
    {"TokensThatOverflow", {2, 3, 0x4000000000000003, 14}},
    {"MostTokens", {2, 3, kMost, 14}},
    {"OneByteMore", {2, 3, 3, 15}},
    {"OneByteLess", {2, 3, 3, 13}},
    {"MostBytes", {2, 3, 3, kMost}},
    {"BytesThatOverflow", {102, 3, 3, kMost - 85}},  // 100 more, 100 less
    {"AllThatIsAddressable", {2, 3, 3, kMost >> 1U}},
};
INSTANTIATE_TEST_SUITE_P(, SnapshotLie, testing::ValuesIn(kLies),
                         [](const auto& c) { return c.param.name; });

TEST_F(SnapshotFile, OfSomebodyElseIsRefused) {
  for (const char* text : {"GGUF and more bytes than a header has, which is forty of them",
                           "CHKV and more bytes than a header has, which is forty of them"})
    expect_refused(read(text), "not one of ours");
  expect_refused(read_snapshot(folder_.path()), "not a regular file");
  expect_refused(read_snapshot("/dev/null"), "not a regular file");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  expect_refused(read_snapshot(folder_ / "pipe"), "not a regular file");
}

TEST_F(SnapshotFile, ThatFillsUpTheDiskLeavesTheOldOne) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  {
    const SmallDisk disk(1 << 20);
    const Status status = write_snapshot(path_, {"f", "f16", {1}, std::string(3 << 20, 'x')});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::kUnavailable);
    EXPECT_THAT(status.error().message, AllOf(HasSubstr("the disk is full"), HasSubstr(path_),
                                              HasSubstr("need 3.1 MB, free ")));
  }
  EXPECT_EQ(read_snapshot(path_).value(), kSmall);
  EXPECT_THAT(names(), ElementsAre(name()));
}

TEST_F(SnapshotFile, CannotBeWrittenWhereNoFolderCanBe) {
  const std::string path = snapshot_path(folder_ / "missing", "a", "b");
  const Status status = write_snapshot(path, kSmall);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kUnavailable);
  EXPECT_THAT(status.error().message, EndsWith("No such file or directory"));
}

TEST_F(SnapshotFile, WithTooLongANameIsNotWritten) {
  for (const Snapshot& snapshot : {Snapshot{std::string(kNameBytesMax + 1, 'f'), "", {}, ""},
                                   Snapshot{"", std::string(kNameBytesMax + 1, 'k'), {}, ""}})
    EXPECT_EQ(write_snapshot(path_, snapshot).error().code, Code::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SnapshotFile, SurvivesTheSweepOfWhatKilledWritersLeft) {
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  folder_.write("kv/" + name() + ".tmp.aB3xY9", "half a snap");
  folder_.write("kv/somebody's notes", "");
  EXPECT_EQ(sweep_snapshots(folder_.path()), 1U);
  EXPECT_THAT(names(), testing::UnorderedElementsAre(name(), "somebody's notes"));
  EXPECT_EQ(sweep_snapshots(folder_.path()), 0U);
  EXPECT_EQ(sweep_snapshots(folder_ / "missing"), 0U);
}

TEST_F(SnapshotFile, IsOnTheDiskWhenItIsWritten) {
  syncs = 0;
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  EXPECT_EQ(syncs, 3) << "the file, its name, and the folder's name";
  ASSERT_TRUE(write_snapshot(path_, kSmall));
  EXPECT_EQ(syncs, 5);
}

}  // namespace
}  // namespace choir

// Counts what waits for the disk: a test cannot pull the plug.
extern "C" __attribute__((visibility("default"))) int fsync(int fd) {
  ++choir::syncs;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
