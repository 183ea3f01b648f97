// Frames of events: what changed in a table, the queue of a slow reader, and reading them back.
#include "serve/frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/client.h"
#include "serve/own_requests.h"

namespace choir::serve {
namespace {

using testing::ElementsAre;

Frame frame(std::size_t bytes) { return std::make_shared<const std::string>(bytes, 'x'); }

Json row(const std::string& id, int a) { return {{"id", id}, {"a", a}}; }

TEST(TableFrames, TellWhatIsNewAndGone) {
  TableFrames table("requests", "id");
  EXPECT_EQ(table.change_to({.rows = {{"1", row("1", 7)}, {"2", row("2", 7)}}}),
            R"({"topic":"requests","set":[{"a":7,"id":"1"},{"a":7,"id":"2"}],"gone":[]})");
  EXPECT_EQ(table.change_to({.rows = {{"2", row("2", 7)}, {"3", row("3", 8)}}}),
            R"({"topic":"requests","set":[{"a":8,"id":"3"}],"gone":["1"]})");
}

TEST(TableFrames, TellOfARowThatChangedOnlyWhatDid) {
  TableFrames table("requests", "id");
  Json one = row("1", 7);
  one["b"] = {{"c", 1}};
  table.change_to({.rows = {{"1", one}, {"2", row("2", 7)}}});
  one["a"] = 8;
  EXPECT_EQ(table.change_to({.rows = {{"1", one}, {"2", row("2", 7)}}}),
            R"({"topic":"requests","set":[],"changed":[{"a":8,"id":"1"}],"gone":[]})");
  one["b"]["c"] = 2;
  one["new"] = nullptr;
  EXPECT_EQ(
      table.change_to({.rows = {{"1", one}, {"2", row("2", 7)}}}),
      R"({"topic":"requests","set":[],"changed":[{"b":{"c":2},"id":"1","new":null}],"gone":[]})");
}

TEST(TableFrames, TellAllOfARowThatLacksAMemberItHad) {
  TableFrames table("requests", "id");
  table.change_to({.rows = {{"1", {{"id", "1"}, {"a", 7}, {"why", "x"}}}}});
  EXPECT_EQ(table.change_to({.rows = {{"1", row("1", 7)}}}),
            R"({"topic":"requests","set":[{"a":7,"id":"1"}],"gone":[]})");
}

TEST(TableFrames, TellNothingWhereNothingChanged) {
  TableFrames table("state", "id");
  table.change_to({.rows = {{"1", row("1", 7)}}, .rest = "R"});
  EXPECT_EQ(table.change_to({.rows = {{"1", row("1", 7)}}, .rest = "R"}), "");
}

TEST(TableFrames, TellTheRestOnlyWhereItChanged) {
  TableFrames table("state", "id");
  EXPECT_EQ(table.change_to({.rows = {{"1", row("1", 7)}}, .rest = "R"}),
            R"({"topic":"state","set":[{"a":7,"id":"1"}],"gone":[],"rest":R})");
  EXPECT_EQ(table.change_to({.rows = {{"1", row("1", 8)}}, .rest = "R"}),
            R"({"topic":"state","set":[],"changed":[{"a":8,"id":"1"}],"gone":[]})");
  EXPECT_EQ(table.whole(), R"({"topic":"state","rows":[{"a":8,"id":"1"}],"rest":R})");
}

// 64 requests that write: a reader gets four such frames a second.
TEST(TableFrames, OfManyRequestsThatWriteAreSmall) {
  constexpr int kRequests = 64;
  TableFrames table("requests", "id");
  std::string data;
  for (int tokens = 1; tokens <= 128; tokens += 8) {
    TableFrames::Table now;
    for (std::uint64_t id = 1000; id < 1000 + kRequests; ++id) {
      RequestInfo request{.id = RequestId{id}, .executor = "smollm2-135m", .tenant = "local"};
      request.prompt_tokens = request.prompt_tokens_done = 40;
      request.output_tokens = tokens;
      now.rows.emplace(std::to_string(id), request_row(request));
    }
    data = table.change_to(std::move(now));
  }
  EXPECT_LE(data.size(), 40 * kRequests + 60);
}

TEST(FrameQueue, BeginsWithASnapshotAndGoesOnWithWhatComesLater) {
  FrameQueue queue;
  EXPECT_TRUE(queue.wants_snapshot());
  queue.add(frame(1));
  EXPECT_TRUE(queue.empty()) << "what changed before the snapshot is in it";
  const Frame whole = frame(2);
  const Frame delta = frame(3);
  queue.begin({whole});
  queue.add(delta);
  EXPECT_EQ(queue.take(), whole);
  EXPECT_EQ(queue.take(), delta);
  EXPECT_EQ(queue.take(), nullptr);
  EXPECT_FALSE(queue.wants_snapshot());
}

TEST(FrameQueue, OfASlowReaderIsDroppedAndBeginsAnewWhenItReads) {
  FrameQueue queue;
  queue.begin({});
  for (int i = 0; i < 4; ++i) queue.add(frame(FrameQueue::kBytesMax / 4));
  EXPECT_FALSE(queue.empty());
  queue.add(frame(1));
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.wants_snapshot()) << "a reader that does not read costs no snapshot";
  EXPECT_EQ(queue.take(), nullptr);
  EXPECT_TRUE(queue.wants_snapshot());
  queue.begin({frame(2 * FrameQueue::kBytesMax)});
  EXPECT_NE(queue.take(), nullptr);
}

TEST(FrameQueue, OfAReaderThatDoesNotReadHasFewFrames) {
  FrameQueue queue;
  queue.begin({});
  for (std::size_t i = 0; i < FrameQueue::kFramesMax; ++i) queue.add(frame(1));
  EXPECT_FALSE(queue.empty());
  queue.add(frame(1));
  EXPECT_TRUE(queue.empty());
}

std::vector<std::string> events_of(const std::string& text, std::size_t piece) {
  EventLines lines;
  std::vector<std::string> events;
  for (std::size_t at = 0; at < text.size(); at += piece)
    lines.add(std::string_view(text).substr(at, piece),
              [&](std::string_view data) { events.emplace_back(data); });
  return events;
}

TEST(EventLines, GiveTheDataOfWholeEventsHoweverTheyCome) {
  const std::string text = ": loading 3 %\n\n" + *frame_of("delta", 7, R"({"a":1})") +
                           "data:x\r\ndata: y\r\n\r\ndata: not ended\n";
  for (const std::size_t piece : {std::size_t{1}, std::size_t{5}, text.size()})
    EXPECT_THAT(events_of(text, piece), ElementsAre(R"({"a":1})", "x\ny")) << piece;
}

TEST(EventLines, TellTheNameAndTheNumberOfTheirEvent) {
  EventLines lines;
  std::vector<std::string> told;
  lines.add(*frame_of("hello", 0, "{}") + *frame_of("snapshot", "{}") + *frame_of("delta", 7, "{}"),
            [&](std::string_view) {
              told.push_back(std::string(lines.name()) + ":" + std::string(lines.id()));
            });
  EXPECT_THAT(told, ElementsAre("hello:0", "snapshot:", "delta:7"));
}

TEST(DaemonAddress, IsAUrlOrAPath) {
  EXPECT_EQ(daemon_address("http://10.0.0.1:80/")->url, "http://10.0.0.1:80");
  EXPECT_EQ(daemon_address("http://10.0.0.1:80/v1/")->url, "http://10.0.0.1:80");
  EXPECT_EQ(daemon_address("10.0.0.1:80/v1")->url, "http://10.0.0.1:80");
  EXPECT_EQ(daemon_address("unix:/run/v1")->socket, "/run/v1");
  EXPECT_EQ(daemon_address("unix:/run/choir.sock")->socket, "/run/choir.sock");
  EXPECT_EQ(daemon_address("./choir.sock")->socket, "./choir.sock");
  EXPECT_FALSE(daemon_address("localhost"));
}

}  // namespace
}  // namespace choir::serve
