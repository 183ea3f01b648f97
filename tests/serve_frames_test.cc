// Frames of events: what changed in a table, the queue of a slow reader, and reading them back.
#include "serve/frames.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/client.h"

namespace choir::serve {
namespace {

using testing::ElementsAre;

Frame frame(std::size_t bytes) { return std::make_shared<const std::string>(bytes, 'x'); }

TEST(TableFrames, TellWhatIsNewChangedAndGone) {
  TableFrames table("requests");
  EXPECT_EQ(table.change_to({.rows = {{"1", "A"}, {"2", "B"}}}),
            R"({"topic":"requests","set":[A,B],"gone":[]})");
  EXPECT_EQ(table.change_to({.rows = {{"2", "C"}, {"3", "D"}}}),
            R"({"topic":"requests","set":[C,D],"gone":["1"]})");
}

TEST(TableFrames, TellNothingWhereNothingChanged) {
  TableFrames table("state");
  table.change_to({.rows = {{"1", "A"}}, .rest = "R"});
  EXPECT_EQ(table.change_to({.rows = {{"1", "A"}}, .rest = "R"}), "");
}

TEST(TableFrames, TellTheRestOnlyWhereItChanged) {
  TableFrames table("state");
  EXPECT_EQ(table.change_to({.rows = {{"1", "A"}}, .rest = "R"}),
            R"({"topic":"state","set":[A],"gone":[],"rest":R})");
  EXPECT_EQ(table.change_to({.rows = {{"1", "B"}}, .rest = "R"}),
            R"({"topic":"state","set":[B],"gone":[]})");
  EXPECT_EQ(table.whole(), R"({"topic":"state","rows":[B],"rest":R})");
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
  EXPECT_EQ(daemon_address("unix:/run/choir.sock")->socket, "/run/choir.sock");
  EXPECT_EQ(daemon_address("./choir.sock")->socket, "./choir.sock");
  EXPECT_FALSE(daemon_address("localhost"));
}

}  // namespace
}  // namespace choir::serve
