#include "policy/route.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

namespace choir {
namespace {

constexpr Priority kHigh = Priority::kHigh;
constexpr Priority kLow = Priority::kLow;

struct Case {
  std::string name;
  RouteView request;
  std::vector<ReplicaView> replicas;  // at most three, for all orders of them
  std::optional<ExecutorId> want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Route : public testing::TestWithParam<Case> {};

TEST_P(Route, GivesInAnyOrderOfInput) {
  std::vector<ReplicaView> replicas = GetParam().replicas;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(route(replicas, GetParam().request), GetParam().want);
    std::ranges::next_permutation(replicas, {}, &ReplicaView::id);
  }
}

RouteView turn(std::uint64_t number) { return {.turn = number, .balance = Balance::kRoundRobin}; }
ReplicaView idle(std::uint64_t id) { return {.id = {id}}; }
ReplicaView full(std::uint64_t id) { return {.id = {id}, .full = true}; }

const Case kRoundRobinCases[] = {
    {"NobodyOfNone", turn(0), {}, std::nullopt},
    {"FirstTurnToTheSmallestId", turn(0), {idle(3), idle(7), idle(5)}, ExecutorId{3}},
    {"SecondTurnToTheNext", turn(1), {idle(3), idle(7), idle(5)}, ExecutorId{5}},
    {"AfterTheLastComesTheFirst", turn(6), {idle(3), idle(7), idle(5)}, ExecutorId{3}},
    {"SkipsOneThatIsFull", turn(1), {idle(3), full(5), idle(7)}, ExecutorId{7}},
    {"SkipsPastTheLast", turn(2), {idle(3), idle(5), full(7)}, ExecutorId{3}},
    {"AllFullIsAsIfNoneWere", turn(1), {full(3), full(5), full(7)}, ExecutorId{5}},
    {"MoreTurnsThanFit32Bits", turn(1ULL << 32), {idle(3), idle(5), idle(7)}, ExecutorId{5}},
    {"LoadDoesNotCount",
     turn(0),
     {{.id = {1}, .outstanding_seconds = 9}, {.id = {2}}},
     ExecutorId{1}},
};
INSTANTIATE_TEST_SUITE_P(RoundRobin, Route, testing::ValuesIn(kRoundRobinCases),
                         [](const auto& c) { return c.param.name; });

ReplicaView loaded(std::uint64_t id, double seconds) {
  return {.id = {id}, .outstanding_seconds = seconds};
}
const RouteView kLeast{.prompt_tokens = 10, .balance = Balance::kLeastLoaded};

const Case kLeastLoadedCases[] = {
    {"NobodyOfNone", kLeast, {}, std::nullopt},
    {"FewestSeconds", kLeast, {loaded(1, 2.5), loaded(2, 1.5), loaded(3, 2)}, ExecutorId{2}},
    {"ThenSmallestId", kLeast, {loaded(1, 3), loaded(3, 1), loaded(2, 1)}, ExecutorId{2}},
    {"NotAFullOne",
     kLeast,
     {{.id = {1}, .full = true, .outstanding_seconds = 1}, loaded(2, 2)},
     ExecutorId{2}},
    {"AllFullIsAsIfNoneWere",
     kLeast,
     {{.id = {1}, .full = true, .outstanding_seconds = 1},
      {.id = {2}, .full = true, .outstanding_seconds = 2}},
     ExecutorId{1}},
    {"SpeedAndPrefixDoNotCount",
     kLeast,
     {{.id = {1}, .outstanding_seconds = 2, .seconds_per_prompt_token = 1, .reusable_tokens = 10},
      {.id = {2}, .outstanding_seconds = 1, .seconds_per_prompt_token = 9}},
     ExecutorId{2}},
};
INSTANTIATE_TEST_SUITE_P(LeastLoaded, Route, testing::ValuesIn(kLeastLoadedCases),
                         [](const auto& c) { return c.param.name; });

ReplicaView of_class(std::uint64_t id, Priority priority, double seconds, bool is_full = false) {
  return {.id = {id}, .priority = priority, .full = is_full, .outstanding_seconds = seconds};
}
const RouteView kByClass{.balance = Balance::kPriority};

const Case kPriorityCases[] = {
    {"BestClassBeforeLessLoad",
     kByClass,
     {of_class(1, kLow, 0), of_class(2, kHigh, 9)},
     ExecutorId{2}},
    {"ThenLeastLoad", kByClass, {of_class(1, kHigh, 2), of_class(2, kHigh, 1)}, ExecutorId{2}},
    {"ThenSmallestId", kByClass, {of_class(2, kHigh, 1), of_class(1, kHigh, 1)}, ExecutorId{1}},
    {"FullFlowsOver", kByClass, {of_class(1, kLow, 9), of_class(2, kHigh, 0, true)}, ExecutorId{1}},
    {"AllFullIsAsIfNoneWere",
     kByClass,
     {of_class(1, kLow, 0, true), of_class(2, kHigh, 9, true)},
     ExecutorId{2}},
};
INSTANTIATE_TEST_SUITE_P(Priority, Route, testing::ValuesIn(kPriorityCases),
                         [](const auto& c) { return c.param.name; });

ReplicaView fast(std::uint64_t id, double outstanding, double per_prompt, double per_output,
                 std::int32_t reusable = 0) {
  return {.id = {id},
          .outstanding_seconds = outstanding,
          .seconds_per_prompt_token = per_prompt,
          .seconds_per_output_token = per_output,
          .reusable_tokens = reusable};
}
// A request of 100 and 10 tokens.
const RouteView kQuick{.prompt_tokens = 100, .output_tokens_max = 10, .balance = Balance::kFastest};

const Case kFastestCases[] = {
    {"LeastLoadAtEqualSpeed", kQuick, {fast(1, 2, 1, 1), fast(2, 1, 1, 1)}, ExecutorId{2}},
    {"PromptSpeedCounts", kQuick, {fast(1, 0, 2, 1), fast(2, 99, 1, 1)}, ExecutorId{2}},
    {"OutputSpeedCounts", kQuick, {fast(1, 0, 1, 2), fast(2, 9, 1, 1)}, ExecutorId{2}},
    {"SpeedDoesNotOutweighALongerWait",
     kQuick,
     {fast(1, 0, 2, 1), fast(2, 101, 1, 1)},
     ExecutorId{1}},
    {"WhatIsInKvIsNotComputed", kQuick, {fast(1, 0, 1, 1), fast(2, 49, 1, 1, 50)}, ExecutorId{2}},
    {"NoMoreThanThePromptIsReused",
     kQuick,
     {fast(1, 0, 1, 1), fast(2, 101, 1, 1, 500)},
     ExecutorId{1}},
    {"SmallestIdOfEquals", kQuick, {fast(2, 100, 1, 1), fast(1, 0, 2, 1)}, ExecutorId{1}},
    // The mean of 1 and 3 is 2: 200 s for the prompt, and 100 s and 300 s for the others.
    {"UnknownPromptSpeedIsTheMean_Better",
     kQuick,
     {fast(1, 101, 1, 1), fast(2, 0, 3, 1), fast(3, 0, 0, 1)},
     ExecutorId{3}},
    {"UnknownPromptSpeedIsTheMean_Worse",
     kQuick,
     {fast(1, 99, 1, 1), fast(2, 0, 3, 1), fast(3, 0, 0, 1)},
     ExecutorId{1}},
    {"UnknownOutputSpeedIsTheMean_Better",
     kQuick,
     {fast(1, 11, 1, 1), fast(2, 0, 1, 3), fast(3, 0, 1, 0)},
     ExecutorId{3}},
    {"UnknownOutputSpeedIsTheMean_Worse",
     kQuick,
     {fast(1, 9, 1, 1), fast(2, 0, 1, 3), fast(3, 0, 1, 0)},
     ExecutorId{1}},
    {"FullOnesCountInTheMean",
     kQuick,
     {fast(1, 0, 1, 1),
      {.id = {2}, .full = true, .seconds_per_prompt_token = 3, .seconds_per_output_token = 1},
      fast(3, 0, 0, 0, 40)},
     ExecutorId{1}},
    {"WithoutAnySpeedLeastLoaded",
     kQuick,
     {fast(1, 2, 0, 0, 100), fast(2, 1, 0, 0)},
     ExecutorId{2}},
    {"NotAFullOne",
     kQuick,
     {{.id = {1}, .full = true, .seconds_per_prompt_token = 1, .seconds_per_output_token = 1},
      fast(2, 9, 9, 9)},
     ExecutorId{2}},
};
INSTANTIATE_TEST_SUITE_P(Fastest, Route, testing::ValuesIn(kFastestCases),
                         [](const auto& c) { return c.param.name; });

ReplicaView holder(std::uint64_t id, double outstanding, std::int32_t reusable) {
  return fast(id, outstanding, 1, 1, reusable);
}
const RouteView kAffine{.prompt_tokens = 100, .balance = Balance::kPrefixAffinity};

const Case kPrefixAffinityCases[] = {
    {"LongestPrefix",
     kAffine,
     {holder(1, 0, 0), holder(2, 0, 20), holder(3, 0, 10)},
     ExecutorId{2}},
    {"ThenLeastLoad",
     kAffine,
     {holder(1, 5, 50), holder(2, 4, 50), holder(3, 0, 0)},
     ExecutorId{2}},
    {"ThenSmallestId", kAffine, {holder(2, 4, 50), holder(1, 4, 50)}, ExecutorId{1}},
    {"LeastLoadedWhenNobodyHoldsAny", kAffine, {holder(1, 2, 0), holder(2, 1, 0)}, ExecutorId{2}},
    {"WaitsAsLongAsRecomputingTakes", kAffine, {holder(1, 8, 0), holder(2, 58, 50)}, ExecutorId{2}},
    {"WaitsNoLonger", kAffine, {holder(1, 8, 0), holder(2, 58.5, 50)}, ExecutorId{1}},
    {"OnlyWhatTheOtherLacksIsRecomputed",
     kAffine,
     {holder(1, 0, 30), holder(2, 21, 50)},
     ExecutorId{1}},
    {"NoMoreThanThePromptIsReused", kAffine, {holder(1, 0, 40), holder(2, 61, 200)}, ExecutorId{1}},
    {"TheSpeedIsThatOfTheOneThatRecomputes",
     kAffine,
     {fast(1, 0, 2, 1), fast(2, 99, 1, 1, 50)},
     ExecutorId{2}},
    {"UnknownSpeedIsTheMean",
     kAffine,
     {fast(1, 0, 0, 1), fast(2, 49, 1, 1, 50), fast(3, 9, 1, 1)},
     ExecutorId{2}},
    {"WithoutAnySpeedTheHolderWhileNobodyHasLess",
     kAffine,
     {fast(1, 3, 0, 0), fast(2, 3, 0, 0, 50)},
     ExecutorId{2}},
    {"WithoutAnySpeedNoLonger", kAffine, {fast(1, 3, 0, 0), fast(2, 4, 0, 0, 50)}, ExecutorId{1}},
    {"NotAFullOne",
     kAffine,
     {holder(1, 0, 0), {.id = {2}, .full = true, .reusable_tokens = 50}},
     ExecutorId{1}},
    {"AllFullIsAsIfNoneWere",
     kAffine,
     {full(1), {.id = {2}, .full = true, .reusable_tokens = 50}},
     ExecutorId{2}},
};
INSTANTIATE_TEST_SUITE_P(PrefixAffinity, Route, testing::ValuesIn(kPrefixAffinityCases),
                         [](const auto& c) { return c.param.name; });

TEST(Balance, EveryNameFindsItsWay) {
  for (std::size_t i = 0; i < kBalanceNames.size(); ++i) {
    const auto balance = static_cast<Balance>(i);
    EXPECT_EQ(to_string(balance), kBalanceNames.at(i));
    EXPECT_EQ(balance_named(kBalanceNames.at(i)), balance);
  }
  EXPECT_EQ(to_string(Balance::kPrefixAffinity), "prefix_affinity");
}

TEST(Balance, NoOtherTextIsAName) {
  for (const std::string_view text : {"", "fast", "fastest ", "Fastest", "round-robin"})
    EXPECT_EQ(balance_named(text), std::nullopt) << text;
}

// Groups with many equal and many unknown figures, so that all ties come up.
class Group {
 public:
  explicit Group(std::uint32_t seed) : rng_(seed) {
    const std::uint32_t n = 1 + upto(6);
    for (std::uint64_t id = 1; id <= n; ++id)
      replicas_.push_back({.id = {id * 3 % 7},
                           .priority = static_cast<Priority>(upto(3)),
                           .full = upto(2) == 0,
                           .outstanding_seconds = upto(4) * 0.3,
                           .seconds_per_prompt_token = upto(3) * 0.01,
                           .seconds_per_output_token = upto(3) * 0.1,
                           .reusable_tokens = static_cast<std::int32_t>(upto(4) * 10)});
    request_ = {.prompt_tokens = static_cast<std::int32_t>(upto(60)),
                .output_tokens_max = static_cast<std::int32_t>(upto(20)),
                .turn = rng_(),
                .balance = static_cast<Balance>(upto(4))};
  }

  std::uint32_t upto(std::uint32_t most) { return static_cast<std::uint32_t>(rng_() % (most + 1)); }
  void shuffle() { std::ranges::shuffle(replicas_, rng_); }
  std::vector<ReplicaView>& replicas() { return replicas_; }
  RouteView& request() { return request_; }
  ExecutorId chosen() const { return route(replicas_, request_).value(); }
  const ReplicaView& chosen_view() const {
    return *std::ranges::find(replicas_, chosen(), &ReplicaView::id);
  }

 private:
  std::mt19937 rng_;
  std::vector<ReplicaView> replicas_;
  RouteView request_;
};

void for_all_groups(void (*check)(Group&)) {
  for (std::uint32_t seed = 1; seed <= 5000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Group group(seed);
    check(group);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(RouteProperty, OrderOfInputDoesNotMatter) {
  for_all_groups([](Group& group) {
    const ExecutorId before = group.chosen();
    group.shuffle();
    EXPECT_EQ(group.chosen(), before);
  });
}

TEST(RouteProperty, NobodyFullWhileAnotherIsNot) {
  for_all_groups([](Group& group) {
    const bool all = std::ranges::all_of(group.replicas(), &ReplicaView::full);
    EXPECT_EQ(group.chosen_view().full, all);
  });
}

TEST(RouteProperty, FullOnesAreAsIfAbsentWhenSpeedsAreKnown) {
  for_all_groups([](Group& group) {
    if (group.request().balance == Balance::kRoundRobin) return;
    for (ReplicaView& replica : group.replicas()) {
      replica.seconds_per_prompt_token += 0.01;
      replica.seconds_per_output_token += 0.01;
    }
    const ExecutorId before = group.chosen();
    if (group.chosen_view().full) return;
    std::erase_if(group.replicas(), [](const ReplicaView& replica) { return replica.full; });
    EXPECT_EQ(group.chosen(), before);
  });
}

TEST(RouteProperty, RoundRobinGivesEachTheSameNumber) {
  for_all_groups([](Group& group) {
    for (ReplicaView& replica : group.replicas()) replica.full = false;
    group.request().balance = Balance::kRoundRobin;
    std::array<int, 7> taken{};
    for (std::size_t i = 0; i < 3 * group.replicas().size(); ++i, ++group.request().turn)
      ++taken.at(group.chosen().value);
    for (const ReplicaView& replica : group.replicas()) EXPECT_EQ(taken.at(replica.id.value), 3);
  });
}

TEST(RouteProperty, WithoutSpeedsFastestIsLeastLoaded) {
  for_all_groups([](Group& group) {
    for (ReplicaView& replica : group.replicas())
      replica.seconds_per_prompt_token = replica.seconds_per_output_token = 0;
    group.request().balance = Balance::kFastest;
    const ExecutorId fastest = group.chosen();
    group.request().balance = Balance::kLeastLoaded;
    EXPECT_EQ(group.chosen(), fastest);
  });
}

// Seconds until the prompt is computed there, up to the longest prefix that anybody has.
double until_prefix(const ReplicaView& replica, std::int32_t longest) {
  return replica.outstanding_seconds +
         (longest - replica.reusable_tokens) * replica.seconds_per_prompt_token;
}

TEST(RouteProperty, PrefixAffinityGetsToTheLongestPrefixAsFastAsTheLeastLoaded) {
  for_all_groups([](Group& group) {
    for (ReplicaView& replica : group.replicas()) {
      replica.full = false;
      replica.seconds_per_prompt_token += 0.01;
    }
    group.request().prompt_tokens = 100;
    group.request().balance = Balance::kLeastLoaded;
    const ReplicaView other = group.chosen_view();
    group.request().balance = Balance::kPrefixAffinity;
    const ReplicaView& chosen = group.chosen_view();
    const std::int32_t longest =
        std::ranges::max_element(group.replicas(), {}, &ReplicaView::reusable_tokens)
            ->reusable_tokens;
    EXPECT_TRUE(chosen.reusable_tokens == longest || chosen == other);
    EXPECT_LE(until_prefix(chosen, longest), until_prefix(other, longest) + 1e-9);
  });
}

// A group by counting: more work than it can do, and each replica computes what it was given.
TEST(RouteProperty, FastestSharesWorkInProportionToSpeed) {
  std::vector<ReplicaView> replicas{fast(1, 0, 0.01, 0.1), fast(2, 0, 0.02, 0.2),
                                    fast(3, 0, 0.04, 0.4)};
  std::array<int, 4> taken{};
  for (int i = 0; i < 7000; ++i) {
    const ExecutorId id = route(replicas, kQuick).value();
    ++taken.at(id.value);
    ReplicaView& replica = *std::ranges::find(replicas, id, &ReplicaView::id);
    replica.outstanding_seconds += kQuick.prompt_tokens * replica.seconds_per_prompt_token +
                                   kQuick.output_tokens_max * replica.seconds_per_output_token;
    for (ReplicaView& each : replicas)
      each.outstanding_seconds = std::max(0.0, each.outstanding_seconds - 0.9);
  }
  EXPECT_NEAR(taken[1], 4000, 40);
  EXPECT_NEAR(taken[2], 2000, 20);
  EXPECT_NEAR(taken[3], 1000, 10);
}

}  // namespace
}  // namespace choir
