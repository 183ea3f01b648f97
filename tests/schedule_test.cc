// The conductor's books: layouts, classes, ageing, and who may be preempted.
#include "runtime/schedule.h"

#include <gtest/gtest.h>

namespace choir {
namespace {

using std::chrono::milliseconds;

constexpr ExecutorId kA{1};
constexpr ExecutorId kB{2};
constexpr ExecutorId kC{3};

Instant at(int ms) { return Instant{} + milliseconds(ms); }

Schedule with(int cores, std::initializer_list<ExecutorId> ids) {
  Schedule schedule(cores, {});
  for (const ExecutorId id : ids) schedule.add(id, 1.0);
  return schedule;
}

TEST(Schedule, OneBusyExecutorGetsAllCoresOnOneLane) {
  Schedule s = with(2, {kA, kB});
  s.ready(kA, Priority::kNormal, at(0));
  EXPECT_EQ(s.next(1, at(0)), std::nullopt) << "the second lane is not in the layout";
  EXPECT_EQ(s.next(0, at(0)),
            (Turn{.executor = kA, .first_core = 0, .cores = 2, .contended = false}));
}

TEST(Schedule, TwoBusyExecutorsGetALaneEach) {
  Schedule s = with(2, {kA, kB});
  s.ready(kA, Priority::kNormal, at(0));
  s.ready(kB, Priority::kNormal, at(0));
  const auto first = s.next(0, at(0));
  const auto second = s.next(1, at(0));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->cores + second->cores, 2);
  EXPECT_NE(first->executor, second->executor);
  EXPECT_NE(first->first_core, second->first_core);
}

TEST(Schedule, ALayoutChangesOnlyWhenNoLaneRuns) {
  Schedule s = with(2, {kA, kB});
  s.ready(kA, Priority::kNormal, at(0));
  ASSERT_TRUE(s.next(0, at(0)));
  s.ready(kB, Priority::kNormal, at(1));
  EXPECT_EQ(s.next(1, at(1)), std::nullopt) << "lane 0 still computes on both cores";
  EXPECT_TRUE(s.finished(0, milliseconds(5), Priority::kNormal, at(5))) << "lane 1 has to be woken";
  EXPECT_TRUE(s.next(1, at(5)));
  EXPECT_TRUE(s.next(0, at(5)));
  EXPECT_EQ(s.layout_changes(), 1U);
}

TEST(Schedule, ACriticalArrivalGetsAllCores) {
  Schedule s = with(2, {kA, kB, kC});
  s.ready(kA, Priority::kLow, at(0));
  s.ready(kB, Priority::kLow, at(0));
  ASSERT_TRUE(s.next(0, at(0)));
  ASSERT_TRUE(s.next(1, at(0)));
  s.ready(kC, Priority::kCritical, at(1));
  EXPECT_EQ(s.to_preempt().size(), 2U);
  s.finished(0, milliseconds(2), Priority::kLow, at(2));
  EXPECT_EQ(s.next(0, at(2)), std::nullopt) << "the other lane has to end first";
  s.finished(1, milliseconds(3), Priority::kLow, at(3));
  const auto turn = s.next(0, at(3));
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->executor, kC);
  EXPECT_EQ(turn->cores, 2);
  EXPECT_EQ(s.next(1, at(3)), std::nullopt);
  EXPECT_TRUE(s.to_preempt().empty()) << "it runs already";
}

TEST(Schedule, NobodyIsPreemptedForLessThanCritical) {
  Schedule s = with(1, {kA, kB});
  s.ready(kA, Priority::kLow, at(0));
  ASSERT_TRUE(s.next(0, at(0)));
  s.ready(kB, Priority::kHigh, at(1));
  EXPECT_TRUE(s.to_preempt().empty());
}

TEST(Schedule, LowAdvancesBesideEndlessHigherWork) {
  Schedule s = with(1, {kA, kB});
  s.ready(kA, Priority::kHigh, at(0));
  s.ready(kB, Priority::kLow, at(0));
  int low_turns = 0;
  for (int ms = 0; ms < 10'000; ms += 10) {
    const auto turn = s.next(0, at(ms));
    ASSERT_TRUE(turn);
    low_turns += turn->executor == kB ? 1 : 0;
    s.finished(0, milliseconds(10), turn->executor == kB ? Priority::kLow : Priority::kHigh,
               at(ms + 10));
  }
  EXPECT_GE(low_turns, 5);
  EXPECT_LE(low_turns, 30) << "classes are strict apart from ageing";
}

TEST(Schedule, SharesAreKeptWithinAClass) {
  Schedule s(1, {});
  s.add(kA, 1.0);
  s.add(kB, 3.0);
  s.ready(kA, Priority::kNormal, at(0));
  s.ready(kB, Priority::kNormal, at(0));
  for (int ms = 0; ms < 4000; ms += 4) {
    const auto turn = s.next(0, at(ms));
    ASSERT_TRUE(turn);
    s.finished(0, milliseconds(4), Priority::kNormal, at(ms + 4));
  }
  EXPECT_NEAR(s.core_seconds(kB).had / s.core_seconds(kA).had, 3.0, 0.1);
}

TEST(Schedule, WhatIsDueIsDividedAmongTheBestClassWithWork) {
  Schedule s(1, {});
  s.add(kA, 1.0);
  s.add(kB, 3.0);
  s.add(kC, 5.0);
  const auto turn = [&](int ms, std::optional<Priority> rest) {
    ASSERT_TRUE(s.next(0, at(ms)));
    s.finished(0, milliseconds(8), rest, at(ms + 8));
  };
  const auto due = [&](ExecutorId id) { return s.core_seconds(id).due * 1000; };
  s.ready(kA, Priority::kNormal, at(0));
  turn(0, Priority::kNormal);
  EXPECT_DOUBLE_EQ(due(kA), 8) << "of one that is alone all is due";
  s.ready(kB, Priority::kNormal, at(8));
  s.ready(kC, Priority::kLow, at(8));
  turn(8, Priority::kNormal);
  EXPECT_DOUBLE_EQ(due(kA), 10);
  EXPECT_DOUBLE_EQ(due(kB), 6);
  EXPECT_DOUBLE_EQ(due(kC), 0) << "a better class has work";
  EXPECT_DOUBLE_EQ((s.core_seconds(kA).had + s.core_seconds(kB).had) * 1000, 16);
}

TEST(Schedule, MailDuringATurnGivesAnotherTurn) {
  Schedule s = with(1, {kA});
  s.ready(kA, Priority::kNormal, at(0));
  ASSERT_TRUE(s.next(0, at(0)));
  EXPECT_FALSE(s.ready(kA, Priority::kHigh, at(1))) << "no lane could take it now";
  s.finished(0, milliseconds(2), std::nullopt, at(2));
  EXPECT_TRUE(s.next(0, at(2)));
  s.finished(0, milliseconds(1), std::nullopt, at(3));
  EXPECT_FALSE(s.next(0, at(3)));
}

TEST(Schedule, TheTurnThatRunsIsTheLastOneOfARetiredExecutor) {
  Schedule s = with(1, {kA});
  s.ready(kA, Priority::kNormal, at(0));
  ASSERT_TRUE(s.next(0, at(0)));
  s.retire(kA);
  EXPECT_FALSE(s.ready(kA, Priority::kCritical, at(1)));
  EXPECT_TRUE(s.finished(0, milliseconds(2), Priority::kNormal, at(2))) << "somebody waits for it";
  EXPECT_FALSE(s.next(0, at(2))) << "though it has work, and mail";
  s.remove(kA);
  EXPECT_FALSE(s.ready(kA, Priority::kCritical, at(3)));
}

TEST(Schedule, ARetiredExecutorThatWaitsForATurnGetsNone) {
  Schedule s = with(2, {kA, kB});
  s.ready(kA, Priority::kCritical, at(0));
  s.retire(kA);
  s.ready(kB, Priority::kNormal, at(0));
  const auto turn = s.next(0, at(0));
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->executor, kB);
  EXPECT_EQ(turn->cores, 2) << "it does not count in the layout either";
  EXPECT_FALSE(turn->contended);
  EXPECT_TRUE(s.to_preempt().empty());
}

TEST(Schedule, ARetiredExecutorThatRunsHoldsItsCoresToTheEnd) {
  Schedule s = with(2, {kA, kB});
  s.ready(kA, Priority::kNormal, at(0));
  ASSERT_TRUE(s.next(0, at(0)));
  s.retire(kA);
  s.ready(kB, Priority::kNormal, at(1));
  EXPECT_FALSE(s.next(1, at(1)));
  EXPECT_TRUE(s.running(kA));
  s.finished(0, milliseconds(2), Priority::kNormal, at(2));
  EXPECT_TRUE(s.next(0, at(2)));
}

TEST(Schedule, RetiringAStrangerIsNothing) {
  Schedule s = with(1, {kA});
  s.retire(kB);
  s.ready(kA, Priority::kNormal, at(0));
  EXPECT_TRUE(s.next(0, at(0)));
}

TEST(Schedule, ManyCoresAreSharedOutWithoutRest) {
  for (int cores = 1; cores <= 17; ++cores) {
    Schedule s(cores, {});
    for (std::uint64_t i = 0; i < 5; ++i) {
      s.add(ExecutorId{i}, 1.0);
      s.ready(ExecutorId{i}, Priority::kNormal, at(0));
    }
    int used = 0;
    for (int lane = 0; lane < cores; ++lane)
      if (const auto turn = s.next(lane, at(0))) {
        EXPECT_EQ(turn->first_core, used) << cores << " cores";
        used += turn->cores;
      }
    EXPECT_EQ(used, cores);
  }
}

TEST(Schedule, NoMoreLanesThanAllowedShareAllCores) {
  for (int lanes_max = 1; lanes_max <= 4; ++lanes_max) {
    Schedule s(4, {}, lanes_max);
    for (std::uint64_t i = 0; i < 5; ++i) {
      s.add(ExecutorId{i}, 1.0);
      s.ready(ExecutorId{i}, Priority::kNormal, at(0));
    }
    int turns = 0;
    int used = 0;
    for (int lane = 0; lane < 4; ++lane)
      if (const auto turn = s.next(lane, at(0))) {
        ++turns;
        used += turn->cores;
      }
    EXPECT_EQ(turns, lanes_max);
    EXPECT_EQ(used, 4);
  }
}

}  // namespace
}  // namespace choir
