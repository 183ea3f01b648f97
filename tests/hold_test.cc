#include "policy/hold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace choir {
namespace {

Instant at(int seconds) { return {std::chrono::seconds(seconds)}; }
constexpr int kNow = 1000;

// In memory, unused since `last_used`, with these leases.
HoldView view(std::uint64_t id, std::vector<Lease> leases, int last_used = 900) {
  return {.id = {id},
          .hold = {.leases = std::move(leases), .let_go = false},
          .last_used = at(last_used)};
}
HoldView let_go(std::uint64_t id, std::vector<Lease> leases = {}, int last_used = 900) {
  HoldView v = view(id, std::move(leases), last_used);
  v.hold.let_go = true;
  return v;
}
HoldView busy(HoldView v) {
  v.busy = true;
  return v;
}
HoldView pinned(HoldView v) {
  v.pinned = true;
  return v;
}
HoldView unloaded(HoldView v) {
  v.in_memory = false;
  return v;
}

const Lease kEnded{"a", at(kNow)};
const Lease kHeld{"b", at(kNow + 1)};
const Lease kLong{"c", at(kNow + 60)};
const Lease kAlways{"d", kForEver};

struct Case {
  std::string name;
  std::vector<HoldView> executors;  // at most four, for all orders of them
  std::vector<ExecutorId> leave;
  std::optional<Instant> again = {};
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class PlanHolds : public testing::TestWithParam<Case> {};

TEST_P(PlanHolds, GivesInAnyOrderOfInput) {
  const Case& c = GetParam();
  std::vector<HoldView> executors = c.executors;
  for (int i = 0; i < 24; ++i) {
    EXPECT_EQ(plan_holds(executors, at(kNow)), (HoldPlan{.leave = c.leave, .again = c.again}));
    std::ranges::next_permutation(executors, {}, &HoldView::id);
  }
}

const Case kCases[] = {
    {"NobodyOfNone", {}, {}},
    {"OneThatWasNeverHeldStays", {view(1, {})}, {}},
    {"TheLastLeaseHasEnded", {view(1, {kEnded})}, {{1}}},
    {"ALeaseEndsAtItsInstantAndNotBefore", {view(1, {kHeld})}, {}, at(kNow + 1)},
    {"AnotherTenantHoldsIt", {view(1, {kEnded, kHeld})}, {}, at(kNow + 1)},
    {"HeldForEver", {view(1, {kEnded, kAlways})}, {}},
    {"GivenUp", {let_go(1)}, {{1}}},
    {"GivenUpByOneOfTwo", {let_go(1, {kLong})}, {}, at(kNow + 60)},
    {"GivenUpAndTheOtherHasEnded", {let_go(1, {kEnded})}, {{1}}},
    {"Pinned", {pinned(view(1, {kEnded})), pinned(let_go(2))}, {}},
    {"Busy", {busy(view(1, {kEnded})), busy(let_go(2))}, {}},
    {"NotInMemory", {unloaded(view(1, {kEnded})), unloaded(view(2, {kHeld}))}, {}, at(kNow + 1)},
    {"TheOneUnusedForLongestFirst",
     {let_go(1, {}, 30), let_go(2, {}, 10), let_go(3, {}, 20), let_go(4, {}, 10)},
     {{2}, {4}, {3}, {1}}},
    {"TheNextEndOfAll",
     {view(1, {kLong}), view(2, {kLong, kHeld}), view(3, {kAlways})},
     {},
     at(kNow + 1)},
    {"SomeLeaveAndOthersAreHeld", {let_go(1), view(2, {kLong})}, {{1}}, at(kNow + 60)},
};
INSTANTIATE_TEST_SUITE_P(, PlanHolds, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(Hold, ANewLeaseOfATenantTakesThePlaceOfItsOldOne) {
  Hold hold;
  hold.hold("a", at(10));
  hold.hold("b", at(20));
  hold.hold("a", at(5));
  EXPECT_EQ(hold.leases, (std::vector<Lease>{{"a", at(5)}, {"b", at(20)}}));
}

TEST(Hold, ATenantReleasesItsOwnLeaseOnly) {
  Hold hold;
  hold.hold("a", at(10));
  hold.hold("b", at(20));
  hold.release("a");
  hold.release("c");
  EXPECT_EQ(hold.leases, (std::vector<Lease>{{"b", at(20)}}));
  EXPECT_TRUE(hold.let_go);
}

TEST(Hold, WhatEndedBeforeTheLoadDoesNotMatterAfterIt) {
  Hold hold;
  hold.hold("a", at(10));
  hold.hold("b", at(20));
  hold.release("c");
  hold.begin_anew(at(10));
  EXPECT_EQ(hold.leases, (std::vector<Lease>{{"b", at(20)}}));
  EXPECT_FALSE(hold.let_go);
}

// Tenants hold and release at random; work comes and goes. Nobody leaves whom a model of one line
// for each rule would keep, and everybody leaves whom nothing keeps.
TEST(PlanHoldsProperty, WhoeverIsHeldOrHasWorkStaysAndAllOthersThatWereHeldLeave) {
  for (std::uint32_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const auto below = [&](unsigned n) { return static_cast<int>(rng() % n); };
    std::vector<HoldView> executors(3);
    for (std::size_t i = 0; i < executors.size(); ++i) executors[i].id = {i + 1};
    std::map<std::pair<std::size_t, int>, int> until;  // the model: of executor and tenant
    std::vector<bool> was_held(3, false);
    for (int now = 0; now < 100; ++now) {
      const auto e = static_cast<std::size_t>(below(3));
      const int tenant = below(3);
      const std::string name(1, static_cast<char>('a' + tenant));
      Hold& hold = executors[e].hold;
      switch (below(4)) {
        case 0:
          until[{e, tenant}] = now + 1 + below(20);
          hold.hold(name, at(until[{e, tenant}]));
          was_held[e] = true;
          break;
        case 1:
          until.erase({e, tenant});
          hold.release(name);
          was_held[e] = true;
          break;
        default:
          executors[e].busy = !executors[e].busy;
      }
      const HoldPlan plan = plan_holds(executors, at(now));
      for (std::size_t i = 0; i < executors.size(); ++i) {
        const bool held = std::ranges::any_of(
            until, [&](const auto& u) { return u.first.first == i && u.second > now; });
        const bool leaves = std::ranges::find(plan.leave, executors[i].id) != plan.leave.end();
        EXPECT_EQ(leaves, was_held[i] && !held && !executors[i].busy) << "executor " << i;
        if (!leaves) continue;
        executors[i].hold.begin_anew(at(now));
        was_held[i] = false;
      }
      if (plan.again) {
        EXPECT_GT(*plan.again, at(now));
      }
    }
  }
}

}  // namespace
}  // namespace choir
