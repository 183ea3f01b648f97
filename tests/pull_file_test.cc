// pull() of files, and what pull() refuses before it makes anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cctype>
#include <filesystem>
#include <ostream>
#include <string>

#include "base/disk.h"
#include "models/sha256.h"
#include "tests/pull_folder.h"
#include "tests/small_disk.h"

namespace choir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct RefusedCase {
  std::string name, source;
  Code code;
  std::string says;
  std::string sha256 = {}, stored_as = {};
};
void PrintTo(const RefusedCase& c, std::ostream* out) { *out << c.name; }

class Refused : public PullFolder, public testing::WithParamInterface<RefusedCase> {};

TEST_P(Refused, BeforeAnythingIsMade) {
  options_.sha256 = GetParam().sha256;
  options_.name = GetParam().stored_as;
  expect_error(pull(GetParam().source, options_), GetParam().code, GetParam().says);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "models"));
  EXPECT_THAT(steps_, IsEmpty());
}

const RefusedCase kRefused[] = {
    {"UnknownName", "llama-70b", Code::kNotFound, "no 'llama-70b'; `choir models`"},
    {"MistypedName", "smolm2-135m", Code::kNotFound, "did you mean 'smollm2-135m'?"},
    {"Nothing", "", Code::kNotFound, "no ''"},
    {"PathWithoutFile", "/bin/sh", Code::kInvalidArgument, "write 'file:/bin/sh'"},
    {"MissingFile", "file:/no/such.gguf", Code::kNotFound, "no file '/no/such.gguf'"},
    {"Folder", "file:/", Code::kInvalidArgument, "not a regular file"},
    {"Device", "file:/dev/zero", Code::kInvalidArgument, "not a regular file"},
    {"OtherProtocol", "ftp://example.org/a.gguf", Code::kInvalidArgument, "'ftp:'"},
    {"PlainHttp", "http://example.org/a.gguf", Code::kInvalidArgument, "refusing http://"},
    {"UrlWithoutName", "https://example.org/", Code::kInvalidArgument, "names no file"},
    {"UrlWithADotName", "https://example.org/a/%2e%2e", Code::kInvalidArgument,
     "names no file; say what to call it"},
    {"BadSha256", "smollm2-135m", Code::kInvalidArgument, "64 hex digits", "abc"},
    {"OtherSha256ThanTheCatalogue", "smollm2-135m", Code::kInvalidArgument, "the catalogue's",
     std::string(64, 'a')},
    {"NameWithSlash", "smollm2-135m", Code::kInvalidArgument, "cannot be a file name", "", "../x"},
    {"NameWithDot", "smollm2-135m", Code::kInvalidArgument, "cannot be a file name", "", ".x"},
    {"LongName", "smollm2-135m", Code::kInvalidArgument, "too long", "", std::string(300, 'x')},
};
INSTANTIATE_TEST_SUITE_P(, Refused, testing::ValuesIn(kRefused),
                         [](const auto& c) { return c.param.name; });

class PullFile : public PullFolder {};

TEST_F(PullFile, AFileIsCopied) {
  const std::string source = folder_.write("My model.gguf", "GGUF rest");
  options_.sha256 = sha256_of_text("GGUF rest");
  for (char& c : options_.sha256) c = static_cast<char>(std::toupper(c));
  for (const char* prefix : {"file:", "file://", "file://localhost"}) {
    EXPECT_EQ(pull(std::string(prefix) + source, options_).value(),
              folder_ / "models/My model.gguf");
    EXPECT_EQ(stored("My model.gguf"), "GGUF rest");
  }
  EXPECT_THAT(steps_, ElementsAre("fetching", "checking", "done"));
  EXPECT_THAT(left(), ElementsAre("My model.gguf", "My model.gguf.sha256"));
}

TEST_F(PullFile, AFileCanHaveAnotherName) {
  options_.name = "mine";
  EXPECT_EQ(pull("file:" + folder_.write("a", "GGUF"), options_).value(),
            folder_ / "models/mine.gguf");
}

TEST_F(PullFile, AFileWithTheWrongSha256IsNotKept) {
  options_.sha256 = std::string(64, 'a');
  expect_error(pull("file:" + folder_.write("a.gguf", "GGUF"), options_), Code::kInvalidArgument,
               "expected " + options_.sha256);
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(PullFile, WhatIsNoModelIsNotKept) {
  for (const char* text : {"", "GGU", "<html>"})
    expect_error(pull("file:" + folder_.write("a.gguf", text), options_), Code::kInvalidArgument,
                 "not a GGUF");
  EXPECT_THAT(left(), IsEmpty());
}

TEST_F(PullFile, AFileThatChangedIsCopiedAgain) {
  const std::string source = folder_.write("a.gguf", "GGUF old");
  ASSERT_TRUE(pull("file:" + source, options_));
  make_older(folder_.write("a.gguf", "GGUF new"));
  ASSERT_TRUE(pull("file:" + source, options_));
  EXPECT_EQ(stored("a.gguf"), "GGUF new");
}

TEST_F(PullFile, AModelOfSomebodyElseIsNotReplaced) {
  folder_.write("models/a.gguf", "GGUF mine");
  expect_error(pull("file:" + folder_.write("a.gguf", "GGUF other"), options_),
               Code::kAlreadyExists, "models/a.gguf");
  EXPECT_EQ(stored("a.gguf"), "GGUF mine");
}

TEST_F(PullFile, AFileLargerThanTheDiskIsRefused) {
  const std::string source = folder_.write("a.gguf", "GGUF");
  const auto free = static_cast<off_t>(std::filesystem::space(folder_.path()).free);
  // Sparse: takes no room. Where there can be no such file there is none to copy either.
  if (::truncate(source.c_str(), free + (off_t{1} << 40)) != 0)
    GTEST_SKIP() << "no such sparse file here";
  std::atomic<bool> cancel{false};
  options_.cancel = &cancel;
  options_.progress = [&](const PullProgress& p) { cancel = p.bytes_done > 0; };
  expect_error(pull("file:" + source, options_), Code::kUnavailable, "not enough disk space");
}

TEST_F(PullFile, ACancelledCopyStops) {
  std::atomic<bool> cancel{true};
  options_.cancel = &cancel;
  expect_error(pull("file:" + folder_.write("a.gguf", "GGUF"), options_), Code::kCancelled,
               "stopped");
  EXPECT_EQ(stored("a.gguf"), "");
}

TEST_F(PullFile, ThatFillsUpTheDiskIsNotKept) {
  const std::string text = "GGUF" + std::string(3 << 20, 'x');
  const std::string file = folder_.write("big.gguf", text);
  {
    const SmallDisk disk(2 << 20);
    expect_error(pull("file:" + file, options_), Code::kUnavailable, "the disk is full");
  }
  EXPECT_EQ(stored("big.gguf"), "");
  ASSERT_TRUE(pull("file:" + file, options_));
  EXPECT_EQ(stored("big.gguf"), text);
}

TEST(GrowingFile, KnowsAFullDisk) {
  auto full = GrowingFile::open("/dev/full", GrowingFile::Start::kKeep, "use another disk").value();
  const Status status = full.add("x");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kUnavailable);
  EXPECT_THAT(status.error().message, HasSubstr("the disk is full (No space left on device)"));
  EXPECT_THAT(status.error().message, HasSubstr("or use another disk"));
}

}  // namespace
}  // namespace choir
