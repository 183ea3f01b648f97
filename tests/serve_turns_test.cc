// Turns as those who watch read them.
#include <gtest/gtest.h>

#include <chrono>

#include "serve/turn_blocks.h"

namespace choir::serve {
namespace {

using std::chrono::microseconds;

ComputedTurn turn(std::int64_t began, std::int64_t length, const std::string& model,
                  Priority priority = Priority::kNormal) {
  return {{microseconds(began)}, microseconds(length), model, 2, 3, priority, 1};
}

std::vector<TurnBlock> blocks(const std::vector<ComputedTurn>& turns) {
  std::uint64_t missing = 0;
  auto made = blocks_of(turns, missing);
  EXPECT_EQ(missing, 0U);
  return made;
}

TEST(TurnBlocks, NeighboursOfOneModelAreOne) {
  const auto made = blocks({turn(0, 1000, "a"), turn(1100, 900, "a"), turn(2000, 500, "b")});
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].turns, 2);
  EXPECT_EQ(made[0].all.length, microseconds(2000)) << "with the time between them";
  EXPECT_EQ(made[0].all.prompt_tokens, 4);
  EXPECT_EQ(made[0].all.decode_rows, 6);
  EXPECT_EQ(made[1].all.executor, "b");
}

TEST(TurnBlocks, NotWhereTheClassIsAnotherOrAGapIsSeenOrTheBlockIsLong) {
  EXPECT_EQ(blocks({turn(0, 1000, "a"), turn(1000, 1000, "a", Priority::kHigh)}).size(), 2U);
  EXPECT_EQ(blocks({turn(0, 1000, "a"), turn(2100, 1000, "a")}).size(), 2U);
  EXPECT_EQ(blocks({turn(0, 4900, "a"), turn(4900, 100, "a"), turn(5000, 100, "a")}).size(), 2U);
}

TEST(TurnBlocks, NotWhereOtherThreadsComputed) {
  ComputedTurn narrow = turn(1000, 1000, "a");
  narrow.threads = 2;
  const TurnsSince all{{microseconds(3000)}, {{.turns = {turn(0, 1000, "a"), narrow}}}};
  const Json rows = turn_blocks(all, {2})["lanes"][0]["blocks"];
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0][7], 1);
  EXPECT_EQ(rows[1][7], 2) << "the lane has 2 now";
}

TEST(TurnBlocks, ManyShortTurnsOfManyModelsAreCountedAsMissing) {
  std::vector<ComputedTurn> turns;
  for (int i = 0; i < 10'000; ++i) turns.push_back(turn(100L * i, 100, i % 2 == 0 ? "a" : "b"));
  std::uint64_t missing = 0;
  EXPECT_EQ(blocks_of(turns, missing).size(), 200U) << "in a second";
  EXPECT_EQ(missing, 9800U);
  EXPECT_EQ(blocks_of({}, missing).size(), 0U);
}

TEST(TurnBlocks, HaveTheFormOfTheRoutes) {
  const TurnsSince all{{microseconds(900)},
                       {{.next = 1, .missing = 2, .turns = {turn(5, 7, "a")}}, {}, {}}};
  EXPECT_EQ(turn_blocks(all, {1, 1}), Json::parse(R"({"now_us": 900, "lanes": [
      {"lane": 0, "threads": 1, "missing": 2, "blocks": [[5, 7, "a", 2, 3, "normal", 1, 1, 0]]},
      {"lane": 1, "threads": 1, "missing": 0, "blocks": []}]})"));
  EXPECT_EQ(exact_turns(all, {2}), Json::parse(R"({"now_us": 900, "lanes": [
      {"lane": 0, "threads": 2, "missing": 2, "turns": [[5, 7, "a", 2, 3, "normal", 1, 0]]}]})"));
  const Json trace = chrome_trace(all);
  ASSERT_EQ(trace["traceEvents"].size(), 2U);
  EXPECT_EQ(trace["traceEvents"][1]["name"], "a");
  EXPECT_EQ(trace["traceEvents"][1]["ts"], 5);
  EXPECT_EQ(trace["traceEvents"][1]["dur"], 7);
}

TEST(TurnBlocks, TellWhyTheyHadTheirTurn) {
  ComputedTurn waited = turn(0, 10, "a");
  waited.reason = TurnReason::kWaited;
  const TurnsSince all{{}, {{.turns = {waited}}}};
  EXPECT_EQ(turn_blocks(all, {1})["lanes"][0]["blocks"][0].back(), 3);
  EXPECT_EQ(exact_turns(all, {1})["lanes"][0]["turns"][0].back(), 3);
  EXPECT_EQ(chrome_trace(all)["traceEvents"][1]["args"]["why"], "waited");
}

TEST(TurnBlocks, BetweenTwoTimes) {
  const TurnsSince all{{}, {{.turns = {turn(0, 10, "a"), turn(10, 10, "b"), turn(20, 10, "c")}}}};
  const auto some = between(all, {microseconds(10)}, {microseconds(20)});
  ASSERT_EQ(some.lanes[0].turns.size(), 1U);
  EXPECT_EQ(some.lanes[0].turns[0].executor, "b");
}

}  // namespace
}  // namespace choir::serve
