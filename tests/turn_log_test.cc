// The log of the lanes' turns: what it keeps, and what a reader is told that it has missed.
#include "runtime/turn_log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/driven.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

TurnLog::Record record(std::int64_t number) {
  return {.began = {std::chrono::microseconds(number)},
          .length = std::chrono::microseconds(number % 1000),
          .executor = {1},
          .prompt_tokens = static_cast<std::int32_t>(number),
          .decode_rows = static_cast<std::int32_t>(number % 60'000),
          .priority = static_cast<Priority>(number % 4),
          .threads = static_cast<int>(number % 200),
          .reason = static_cast<TurnReason>(number / 4 % 4)};
}

// As record() says.
void expect_whole(const ComputedTurn& turn) {
  const TurnLog::Record of = record(turn.prompt_tokens);
  EXPECT_EQ(turn, (ComputedTurn{of.began, of.length, "a", of.prompt_tokens, of.decode_rows,
                                of.priority, of.threads, of.reason}));
}

TEST(TurnLog, GivesWhatWasAddedLaneByLane) {
  TurnLog log(2);
  log.name({1}, "a");
  log.add(1, record(7));
  log.add(1, record(8));
  const auto lanes = log.since({});
  ASSERT_EQ(lanes.size(), 2U);
  EXPECT_TRUE(lanes[0].turns.empty());
  ASSERT_EQ(lanes[1].turns.size(), 2U);
  EXPECT_EQ(lanes[1].turns[0].prompt_tokens, 7);
  for (const ComputedTurn& turn : lanes[1].turns) expect_whole(turn);
}

TEST(TurnLog, GoesOnWhereALookHasEnded) {
  TurnLog log(1);
  log.add(0, record(1));
  const std::uint64_t next = log.since({}).front().next;
  const std::uint64_t from[] = {next};
  EXPECT_TRUE(log.since(from).front().turns.empty());
  log.add(0, record(2));
  const auto lane = log.since(from).front();
  ASSERT_EQ(lane.turns.size(), 1U);
  EXPECT_EQ(lane.turns.front().prompt_tokens, 2);
  EXPECT_EQ(lane.missing, 0U);
  EXPECT_EQ(lane.turns.front().executor, "") << "it has no name";
}

TEST(TurnLog, TellsHowManyAreNotKeptAnyMore) {
  TurnLog log(1);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(kTurnsKept) + 10; ++i)
    log.add(0, record(i));
  const std::uint64_t from[] = {3};
  const auto lane = log.since(from).front();
  EXPECT_EQ(lane.missing, 7U);
  ASSERT_EQ(lane.turns.size(), kTurnsKept);
  EXPECT_EQ(lane.turns.front().prompt_tokens, 10);
  EXPECT_EQ(log.since({}).front().missing, 0U) << "a new reader has missed none";
}

TEST(TurnLog, SizesBeyondTheirPlaceAreTheMost) {
  TurnLog log(1);
  TurnLog::Record long_one = record(1);
  long_one.length = std::chrono::hours(10);
  long_one.decode_rows = 1 << 20;
  long_one.threads = 1000;
  log.add(0, long_one);
  const ComputedTurn turn = log.since({}).front().turns.front();
  EXPECT_EQ(turn.length, std::chrono::microseconds(0xFFFFFFFF));
  EXPECT_EQ(turn.decode_rows, 0xFFFF);
  EXPECT_EQ(turn.threads, 0xFF);
  EXPECT_EQ(turn.priority, long_one.priority);
}

TEST(TurnLog, NamesAreBounded) {
  TurnLog log(1);
  for (std::uint64_t id = 1; id <= 2000; ++id) log.name({id}, "n" + std::to_string(id));
  TurnLog::Record old = record(1);
  log.add(0, old);
  old.executor = {2000};
  log.add(0, old);
  const auto turns = log.since({}).front().turns;
  EXPECT_EQ(turns[0].executor, "");
  EXPECT_EQ(turns[1].executor, "n2000");
}

// What a reader gets beside a writer is whole, in order, and complete with what it has missed.
TEST(TurnLogThreads, AReaderBesideTheLaneSeesWholeTurns) {
  constexpr std::int64_t kTurns = 200'000;
  TurnLog log(1);
  log.name({1}, "a");
  std::atomic<bool> over{false};
  std::thread lane([&] {
    for (std::int64_t i = 0; i < kTurns; ++i) log.add(0, record(i));
    over.store(true);
  });
  std::vector<std::uint64_t> from = {0};
  std::uint64_t seen = 0;
  std::int32_t last = -1;
  for (bool once_more = false; !once_more;) {
    once_more = over.load();
    const auto read = log.since(from).front();
    from = {read.next};
    seen += read.missing + read.turns.size();
    for (const ComputedTurn& turn : read.turns) {
      expect_whole(turn);
      EXPECT_GT(turn.prompt_tokens, last);
      last = turn.prompt_tokens;
    }
  }
  lane.join();
  EXPECT_EQ(seen, static_cast<std::uint64_t>(kTurns));
}

TEST(TurnLogOfANode, HasWhatItsLanesHaveComputed) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  Request asked = request("a", "hello", 3);
  asked.priority = Priority::kHigh;
  ASSERT_TRUE(node->submit(asked, {}));
  node.finish();
  std::int32_t prompts = 0;
  std::int32_t decodes = 0;
  for (const LaneTurns& lane : node->turns({}).lanes)
    for (const ComputedTurn& turn : lane.turns) {
      EXPECT_EQ(turn.executor, "a");
      EXPECT_EQ(turn.priority, Priority::kHigh);
      EXPECT_GT(turn.length.count(), 0);
      EXPECT_GT(turn.threads, 0);
      prompts += turn.prompt_tokens;
      decodes += turn.decode_rows;
    }
  EXPECT_EQ(prompts, 5);
  EXPECT_EQ(decodes, 2) << "the first of three tokens comes from the prompt";
}

}  // namespace
}  // namespace choir
