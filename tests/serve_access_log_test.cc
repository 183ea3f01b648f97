#include "serve/access_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>

#include "serve/json_in.h"
#include "tests/temp_folder.h"

namespace choir::serve {
namespace {

Exchange exchange(std::string id) { return {.id = std::move(id), .status = 200}; }
void ignore_lost(std::uint64_t /*lines*/) {}

TEST(AccessLine, HasAllThatIsKnown) {
  const Exchange all{.id = "r-1",
                     .traceparent = "00-trace",
                     .method = "POST",
                     .path = "/v1/completions",
                     .address = "127.0.0.1",
                     .key = "alice",
                     .tenant = "acme",
                     .status = 200,
                     .bytes = 1234,
                     .seconds = 0.1234567,
                     .facts = {.model = "small",
                               .prompt_tokens = 10,
                               .output_tokens = 20,
                               .reused_tokens = 5,
                               .first_token_seconds = 0.05}};
  EXPECT_EQ(access_line(all, 1'764'218'678'120),
            "{\"time\":\"2025-11-27T04:44:38.120Z\",\"id\":\"r-1\",\"client\":\"127.0.0.1\","
            "\"method\":\"POST\",\"path\":\"/v1/completions\",\"status\":200,\"bytes\":1234,"
            "\"seconds\":0.123457,\"key\":\"alice\",\"tenant\":\"acme\",\"model\":\"small\","
            "\"prompt_tokens\":10,\"output_tokens\":20,\"reused_tokens\":5,"
            "\"first_token_seconds\":0.05,\"traceparent\":\"00-trace\"}\n");
}

TEST(AccessLine, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(access_line(exchange("a"), 0),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"id\":\"a\",\"status\":200,\"bytes\":0,"
            "\"seconds\":0.0}\n");
}

TEST(AccessLine, IsOneLineOfJsonWhateverThePathIs) {
  const std::string line =
      access_line({.id = "a", .path = "/\n\"\xff" + std::string(5000, 'x')}, 0);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_LT(line.size(), 700U);
  EXPECT_TRUE(parse_json(line));
}

TEST(AccessLog, WritesWhatWaitsBeforeItEnds) {
  const TempFolder folder;
  const std::string path = folder / "access.log";
  auto log = AccessLog::open(path, ignore_lost);
  ASSERT_TRUE(log);
  for (int i = 0; i < 100; ++i) (*log)->add(exchange("id" + std::to_string(i)), i);
  log->reset();
  const std::string text = text_of_file(path);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 100);
  EXPECT_LT(text.find("\"id7\""), text.find("\"id8\""));
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0137U, 0U) << "nobody else may read it";
}

TEST(AccessLog, IsAppendedTo) {
  const TempFolder folder;
  const std::string path = folder.write("access.log", "before\n");
  AccessLog::open(path, ignore_lost).value()->add(exchange("a"), 0);
  EXPECT_TRUE(text_of_file(path).starts_with("before\n{"));
}

TEST(AccessLog, SaysWhereItCannotBeWritten) {
  const auto log = AccessLog::open("/nowhere/access.log", ignore_lost);
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().code, Code::kUnavailable);
  EXPECT_NE(log.error().message.find("/nowhere/access.log"), std::string::npos);
}

TEST(LogFile, GoesOnInANewOneWhenItWasMovedAway) {
  const TempFolder folder;
  const std::string path = folder / "access.log";
  const std::atomic<bool> no{false};
  LogFile file(path);
  ASSERT_TRUE(file.open());
  EXPECT_EQ(file.write("one\n", no), 0U);
  std::filesystem::rename(path, folder / "access.log.1");
  file.follow();
  EXPECT_EQ(file.write("two\n", no), 0U);
  file.follow();
  EXPECT_EQ(file.write("three\n", no), 0U);
  EXPECT_EQ(text_of_file(folder / "access.log.1"), "one\n");
  EXPECT_EQ(text_of_file(path), "two\nthree\n");
}

TEST(LogFile, GoesOnInTheOneThatHasItsName) {
  const TempFolder folder;
  const std::string path = folder / "access.log";
  const std::atomic<bool> no{false};
  LogFile file(path);
  ASSERT_TRUE(file.open());
  std::filesystem::rename(path, folder / "access.log.1");
  folder.write("access.log", "made by another program\n");
  file.follow();
  EXPECT_EQ(file.write("one\n", no), 0U);
  EXPECT_EQ(text_of_file(path), "made by another program\none\n");
}

// A pipe that nobody reads stands for a disk that takes nothing.
class Pipe {
 public:
  explicit Pipe(const std::string& path) {
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
    end_ = Fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  }
  // Appends what there is, and waits for it; false at the end of what is written.
  bool read(std::string& text) const {
    ::fcntl(end_.get(), F_SETFL, 0);
    char bytes[4096];
    const ssize_t count = ::read(end_.get(), bytes, sizeof bytes);
    if (count > 0) text.append(bytes, static_cast<std::size_t>(count));
    return count > 0;
  }

 private:
  Fd end_;
};

// What the whole lines of a log tell: how many lines were dropped, and how many lines are of
// exchanges.
struct Told {
  std::uint64_t dropped = 0;
  std::uint64_t others = 0;
};
Told told_in(const std::string& text) {
  constexpr std::string_view kDropped = "\"dropped\":";
  Told told;
  told.others = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  for (std::size_t at = text.find(kDropped); at != std::string::npos;
       at = text.find(kDropped, at + 1)) {
    if (text.find('\n', at) == std::string::npos) break;
    --told.others;
    told.dropped += std::stoull(text.substr(at + kDropped.size()));
  }
  return told;
}

TEST(AccessLog, DropsWhatComesWhileTooMuchWaits) {
  const TempFolder folder;
  const Pipe pipe(folder / "pipe");
  std::atomic<std::uint64_t> lost{0};
  auto log = AccessLog::open(folder / "pipe", [&](std::uint64_t lines) { lost += lines; });
  ASSERT_TRUE(log) << log.error().message;
  // A pipe takes 64 KiB, the writer holds one batch, and as many wait as may.
  constexpr std::uint64_t kLines = 3 * AccessLog::kWaitingMax;
  for (std::uint64_t i = 0; i < kLines; ++i) (*log)->add(exchange(std::string(100, 'a')), 0);
  EXPECT_GT(lost.load(), 0U);
  std::string text;
  // All is read before the end of the log, for what a full pipe does not take at the end is lost,
  // too.
  while (told_in(text).dropped < lost.load() || told_in(text).others + lost.load() < kLines)
    ASSERT_TRUE(pipe.read(text));
  log->reset();
  EXPECT_FALSE(pipe.read(text));
  const Told told = told_in(text);
  EXPECT_EQ(told.dropped, lost.load());
  EXPECT_EQ(told.others + lost.load(), kLines);
}

TEST(AccessLog, EndsWhereNobodyReads) {
  const TempFolder folder;
  const Pipe pipe(folder / "pipe");
  std::atomic<std::uint64_t> lost{0};
  auto log = AccessLog::open(folder / "pipe", [&](std::uint64_t lines) { lost += lines; });
  ASSERT_TRUE(log);
  for (std::size_t i = 0; i < AccessLog::kWaitingMax; ++i)
    (*log)->add(exchange(std::string(100, 'a')), 0);
  log->reset();
  EXPECT_GT(lost.load(), 0U);
}

}  // namespace
}  // namespace choir::serve
