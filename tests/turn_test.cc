#include "policy/turn.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace choir {
namespace {

using std::chrono::milliseconds;
constexpr Priority kCritical = Priority::kCritical;
constexpr Priority kHigh = Priority::kHigh;
constexpr Priority kNormal = Priority::kNormal;
constexpr Priority kLow = Priority::kLow;

struct AgedCase {
  std::string name;
  Priority priority;
  Nanos waited;
  Priority want;
  Nanos age_step = milliseconds(100);
};
void PrintTo(const AgedCase& c, std::ostream* out) { *out << c.name; }

class Aged : public testing::TestWithParam<AgedCase> {};

TEST_P(Aged, Gives) {
  const AgedCase& c = GetParam();
  EXPECT_EQ(aged(c.priority, c.waited, c.age_step), c.want);
}

const AgedCase kAgedCases[] = {
    {"NotBeforeTheStep", kLow, milliseconds(100) - Nanos(1), kLow},
    {"OneClassAfterOneStep", kLow, milliseconds(100), kNormal},
    {"TwoClassesAfterTwo", kLow, milliseconds(200), kHigh},
    {"NeverAboveCritical", kNormal, std::chrono::hours(1000), kCritical},
    {"CriticalStays", kCritical, milliseconds(100), kCritical},
    {"NegativeWaitIsNone", kLow, milliseconds(-500), kLow},
    {"StepOfZeroIsNoAgeing", kLow, milliseconds(9999), kLow, Nanos{0}},
};
INSTANTIATE_TEST_SUITE_P(, Aged, testing::ValuesIn(kAgedCases),
                         [](const auto& c) { return c.param.name; });

ExecutorView view(std::uint64_t id, Priority priority, double virtual_seconds, int since_ms = 900) {
  return {{id}, priority, virtual_seconds, {milliseconds(since_ms)}};
}

struct Case {
  std::string name;
  std::vector<ExecutorView> runnable;
  std::optional<ExecutorId> want;
  TurnRules rules{};
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class NextTurn : public testing::TestWithParam<Case> {};

TEST_P(NextTurn, GivesInAnyOrderOfInput) {
  std::vector<ExecutorView> runnable = GetParam().runnable;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(next_turn(runnable, {milliseconds(1000)}, GetParam().rules), GetParam().want);
    std::ranges::next_permutation(runnable, {}, &ExecutorView::id);
  }
}

const TurnRules kNoClasses{.classes = false};

struct ReasonCase {
  std::string name;
  std::vector<ExecutorView> runnable;
  TurnReason want;
  TurnRules rules{};
};
void PrintTo(const ReasonCase& c, std::ostream* out) { *out << c.name; }

class Reason : public testing::TestWithParam<ReasonCase> {};

TEST_P(Reason, IsThatOfTheChosenOne) {
  const ReasonCase& c = GetParam();
  const auto chosen = next_turn(c.runnable, {milliseconds(1000)}, c.rules);
  EXPECT_EQ(to_string(reason_of(c.runnable, chosen.value(), c.rules)), to_string(c.want));
}

const ReasonCase kReasonCases[] = {
    {"Alone", {view(1, kLow, 2)}, TurnReason::kAlone},
    {"LeastOfItsClass", {view(1, kNormal, 2), view(2, kNormal, 1)}, TurnReason::kShares},
    {"BestClass", {view(1, kLow, 0), view(2, kHigh, 9)}, TurnReason::kClass},
    {"LeastOfTheBestClass",
     {view(1, kLow, 0), view(2, kHigh, 9), view(3, kHigh, 8)},
     TurnReason::kShares},
    {"LiftedByItsWait",
     {view(1, kNormal, 0, 0), view(2, kHigh, 9, 990)},
     TurnReason::kWaited,
     {.age_step = milliseconds(100)}},
    {"SharesWhereClassesDoNotCount",
     {view(1, kLow, 0), view(2, kHigh, 9)},
     TurnReason::kShares,
     kNoClasses},
};
INSTANTIATE_TEST_SUITE_P(, Reason, testing::ValuesIn(kReasonCases),
                         [](const auto& c) { return c.param.name; });

const Case kCases[] = {
    {"NobodyWhenNobodyIsRunnable", {}, std::nullopt},
    {"LeastVirtualTime",
     {view(1, kNormal, 2), view(2, kNormal, 1), view(3, kNormal, 3)},
     ExecutorId{2}},
    {"ThenLongestWait", {view(1, kNormal, 2), view(2, kNormal, 2, 899)}, ExecutorId{2}},
    {"ThenSmallestId", {view(1, kNormal, 2), view(2, kNormal, 2)}, ExecutorId{1}},
    {"BetterClassBeforeLessVirtualTime", {view(1, kNormal, 0), view(2, kHigh, 9)}, ExecutorId{2}},
    {"LongWaitLiftsAClass", {view(1, kNormal, 9, 500), view(2, kHigh, 0)}, ExecutorId{1}},
    {"ShortWaitDoesNot", {view(1, kNormal, 0, 501), view(2, kHigh, 9)}, ExecutorId{2}},
    {"BetweenClassesVirtualTimeDoesNotCount",
     {view(1, kNormal, 999, 400), view(2, kHigh, 0, 950)},
     ExecutorId{1}},
    {"AWaitWithinTheClassLiftsNobodyInIt",
     {view(1, kNormal, 2, 0), view(2, kNormal, 1)},
     ExecutorId{2}},
    {"WithoutClassesOnlyVirtualTimeCounts",
     {view(1, kLow, 1), view(2, kCritical, 2, 0)},
     ExecutorId{1},
     kNoClasses},
};
INSTANTIATE_TEST_SUITE_P(, NextTurn, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(Charge, IsSecondsTimesCoresOverShares) {
  EXPECT_DOUBLE_EQ(charge(1.0, milliseconds(500), 3, 2.0), 1.75);
}

TEST(Charge, NoTurnIsFree) {
  EXPECT_DOUBLE_EQ(charge(0, Nanos{0}, 1, 1.0), 1e-6);
  EXPECT_DOUBLE_EQ(charge(0, Nanos{-5}, 2, 0.5), 4e-6);
}

TEST(Wake, KeepsWhatIsNearTheFloor) {
  const TurnRules rules{.credit_seconds_max = 0.1, .debt_seconds_max = 2};
  EXPECT_EQ(wake(9.95, 10, rules), 9.95);
  EXPECT_EQ(wake(11.9, 10, rules), 11.9);
}

TEST(Wake, LimitsCreditAndDebt) {
  const TurnRules rules{.credit_seconds_max = 0.1, .debt_seconds_max = 2};
  EXPECT_DOUBLE_EQ(wake(0, 10, rules), 9.9);
  EXPECT_DOUBLE_EQ(wake(1000, 10, rules), 12);
}

// A node by counting: executors with random turns on lanes of one core, in virtual time. It keeps
// the books as the header tells a caller to.
class World {
 public:
  struct Executor {
    Priority priority = kNormal;
    double shares = 1;
    std::function<Nanos()> turn_cost;
    std::function<Nanos()> nap = [] { return Nanos{0}; };  // after a turn
    double served = 0;                                     // seconds
    Nanos longest_wait{0};
    double virtual_seconds = 0;
    enum { kReady, kRunning, kAsleep } state = kReady;
    Instant until{};  // of the turn, or the nap
    Instant waiting_since{};
    Nanos cost{0};
  };

  World(std::vector<Executor> executors, int lanes, TurnRules rules = {})
      : executors_(std::move(executors)), idle_lanes_(lanes), rules_(rules) {}

  void run(Nanos length) {
    const Instant end = now_ + length;
    while (now_ < end) {
      start_turns();
      Instant next = end;
      for (const Executor& e : executors_)
        if (e.state != Executor::kReady) next = std::min(next, e.until);
      now_ = next;
      for (Executor& e : executors_)
        if (e.state != Executor::kReady && e.until <= now_) finish(e);
    }
  }

  Executor& operator[](std::size_t i) { return executors_[i]; }
  std::size_t size() const { return executors_.size(); }
  double served() const {
    return std::accumulate(executors_.begin(), executors_.end(), 0.0,
                           [](double sum, const Executor& e) { return sum + e.served; });
  }

 private:
  double& time_of(const Executor& e) { return times_.at(timeline(e.priority, rules_)); }

  void start_turns() {
    for (; idle_lanes_ > 0; --idle_lanes_) {
      std::vector<ExecutorView> views;
      for (std::size_t i = 0; i < executors_.size(); ++i)
        if (executors_[i].state == Executor::kReady)
          views.push_back({{i},
                           executors_[i].priority,
                           executors_[i].virtual_seconds,
                           executors_[i].waiting_since});
      const auto id = next_turn(views, now_, rules_);
      if (!id) return;
      Executor& e = executors_[id->value];
      e.longest_wait = std::max(e.longest_wait, now_ - e.waiting_since);
      time_of(e) = std::max(time_of(e), e.virtual_seconds);
      e.state = Executor::kRunning;
      e.cost = e.turn_cost();
      e.until = now_ + e.cost;
    }
  }

  void finish(Executor& e) {
    const bool ran = e.state == Executor::kRunning;
    if (ran) {
      ++idle_lanes_;
      e.virtual_seconds = charge(e.virtual_seconds, e.cost, 1, e.shares);
      e.served += to_seconds(e.cost);
      const Nanos nap = e.nap();
      if (nap > Nanos{0}) {
        e.state = Executor::kAsleep;
        e.until = now_ + nap;
        return;
      }
    } else {
      e.virtual_seconds = wake(e.virtual_seconds, time_of(e), rules_);
    }
    e.state = Executor::kReady;
    e.waiting_since = now_;
  }

  std::vector<Executor> executors_;
  int idle_lanes_;
  TurnRules rules_;
  Instant now_;
  std::array<double, kTimelines> times_{};
};

std::function<Nanos()> between_ms(std::mt19937& rng, unsigned least, unsigned most) {
  return [&rng, least, most] { return Nanos(milliseconds(least + rng() % (most - least + 1))); };
}

TEST(NextTurnProperty, TimeIsInProportionToSharesWithinAClass) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const int lanes = 1 + static_cast<int>(rng() % 3);
    std::vector<World::Executor> executors(12 + rng() % 20);
    double shares = 0;
    for (World::Executor& e : executors) {
      const auto most = static_cast<unsigned>(1 + rng() % 60);
      e = {.shares = 1.0 + static_cast<double>(rng() % 8), .turn_cost = between_ms(rng, 1, most)};
      shares += e.shares;
    }
    World world(executors, lanes);
    world.run(std::chrono::minutes(5));
    for (std::size_t i = 0; i < world.size(); ++i) {
      const double want = world.served() * world[i].shares / shares;
      ASSERT_NEAR(world[i].served, want, 0.03 * want) << "executor " << i;
    }
  }
}

TEST(NextTurnProperty, ClassesAreStrictApartFromOneAgedTurnAtATime) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const auto turn = between_ms(rng, 1, 50);
    World world({{.priority = kCritical, .turn_cost = turn},
                 {.priority = kHigh, .turn_cost = turn},
                 {.priority = kNormal, .turn_cost = turn},
                 {.priority = kLow, .turn_cost = turn},
                 {.priority = kLow, .turn_cost = turn}},
                1);
    const double seconds = 100;
    world.run(std::chrono::seconds(100));
    // A turn of 26 ms on average for each wait of 0.5 s, 1 s, 1.5 s (LOW: one for each of the two).
    EXPECT_GT(world[0].served, 0.85 * seconds);
    EXPECT_LT(world[1].served, 0.06 * seconds);
    EXPECT_LT(world[2].served, 0.03 * seconds);
    EXPECT_LT(world[3].served + world[4].served, 0.04 * seconds);
    // All advance.
    EXPECT_LT(world[1].longest_wait, milliseconds(500 + 4 * 50));
    EXPECT_LT(world[2].longest_wait, milliseconds(1000 + 4 * 50));
    EXPECT_GT(world[3].served, 0.008 * seconds);
    EXPECT_GT(world[4].served, 0.008 * seconds);
  }
}

TEST(NextTurnProperty, WithoutAgeingClassesAreStrict) {
  std::mt19937 rng(1);
  World world({{.priority = kHigh, .turn_cost = between_ms(rng, 1, 50)},
               {.priority = kNormal, .turn_cost = between_ms(rng, 1, 50)}},
              1, {.age_step = Nanos{0}});
  world.run(std::chrono::seconds(100));
  EXPECT_EQ(world[1].served, 0);
}

TEST(NextTurnProperty, ASleeperGetsItsCreditAndNoMore) {
  std::mt19937 rng(1);
  bool slept = false;
  auto one_long_nap = [&slept]() -> Nanos {
    return std::exchange(slept, true) ? Nanos{0} : Nanos(std::chrono::hours(1));
  };
  World world({{.turn_cost = between_ms(rng, 5, 5)},
               {.turn_cost = between_ms(rng, 5, 5), .nap = one_long_nap}},
              1);
  world.run(std::chrono::hours(1) + milliseconds(10));
  const double before = world[1].served;
  world.run(milliseconds(300));
  // 0.1 s ahead, then half of the rest: 0.2 s of the 0.3 s.
  EXPECT_NEAR(world[1].served - before, 0.2, 0.011);
}

TEST(NextTurnProperty, NappingAfterEveryTurnGivesNoMoreThanTheShares) {
  for (const double shares : {0.1, 0.25, 1.0, 4.0}) {
    SCOPED_TRACE("shares " + std::to_string(shares));
    std::mt19937 rng(1);
    World world(
        {{.turn_cost = between_ms(rng, 30, 50)},
         {.shares = shares, .turn_cost = between_ms(rng, 30, 50), .nap = between_ms(rng, 1, 1)}},
        1);
    world.run(std::chrono::minutes(5));
    EXPECT_LT(world[1].served, 1.03 * world.served() * shares / (1 + shares));
  }
}

// The reason for one timeline per class.
TEST(NextTurnProperty, AClassThatWasHeldBackTreatsNewcomersFairly) {
  std::mt19937 rng(1);
  int critical_turns = 0;
  auto stop_after_a_minute = [&]() -> Nanos {
    return ++critical_turns < 6000 ? Nanos{0} : Nanos(std::chrono::hours(1));
  };
  auto wake_after_30_seconds = [n = 0]() mutable -> Nanos {
    return n++ == 0 ? Nanos(std::chrono::seconds(30)) : Nanos{0};
  };
  World world(
      {{.priority = kCritical, .turn_cost = between_ms(rng, 10, 10), .nap = stop_after_a_minute},
       {.priority = kLow, .turn_cost = between_ms(rng, 10, 10)},
       {.priority = kLow, .turn_cost = between_ms(rng, 10, 10), .nap = wake_after_30_seconds}},
      1);
  world.run(std::chrono::seconds(70));
  const double before = world[2].served;
  world.run(std::chrono::seconds(10));
  EXPECT_NEAR(world[2].served - before, 5.0, 0.3);
}

}  // namespace
}  // namespace choir
