// Tenants of one executor: whose prompts begin.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/executor_stage.h"

namespace choir {
namespace {

class TenantStage {
 public:
  TenantStage() : stage_({.slots = 1, .prefix_cache = false}) {}

  void ask(const std::string& tenant, int requests) {
    for (int i = 0; i < requests; ++i) {
      const auto id = stage_.post(with_front(10, static_cast<TokenId>(i % 9)),
                                  {.max_tokens = 3, .tenant = tenant});
      waiting_.emplace(id, tenant);
    }
  }
  // Until so many requests have ended; of which tenants they were, in this order.
  std::string ends(std::size_t count) {
    std::string order;
    for (int turns = 0; turns < 10'000 && order.size() < count; ++turns) {
      stage_.turn();
      stage_.clock.advance(std::chrono::microseconds(1));
      for (auto at = waiting_.begin(); at != waiting_.end();) {
        const bool ended = stage_.states.at(at->first)->finished();
        if (ended) order += at->second;
        at = ended ? waiting_.erase(at) : std::next(at);
      }
    }
    return order;
  }
  bool books_balance() const { return stage_.executor->books_balance(); }

 private:
  Stage stage_;
  std::map<std::uint64_t, std::string> waiting_;
};

TEST(ExecutorTenants, WhoWasServedBeforeIsNotPassedOverForNewcomers) {
  TenantStage stage;
  stage.ask("B", 1);
  stage.ask("A", 150);
  EXPECT_EQ(stage.ends(145).size(), 145U);  // and some of A are always there
  stage.ask("A", 10);
  stage.ask("B", 10);
  stage.ask("C", 10);
  const std::string order = stage.ends(15);
  for (const char tenant : {'A', 'B', 'C'})
    EXPECT_EQ(std::ranges::count(order, tenant), 5) << tenant << " in " << order;
  EXPECT_TRUE(stage.books_balance());
}

TEST(ExecutorTenants, OneRequestAfterTheOtherIsNoWayAroundTheOrder) {
  TenantStage stage;
  stage.ask("B", 60);
  std::string order;
  for (int i = 0; i < 30; ++i) {
    stage.ask("A", 1);
    do {
      order += stage.ends(1);
    } while (order.back() != 'A');
  }
  EXPECT_LE(std::ranges::count(order, 'A'), std::ranges::count(order, 'B') + 1) << order;
}

TEST(ExecutorTenants, OneWithFewRequestsDoesNotWaitForOneWithManyThatHasHadAsMuch) {
  TenantStage stage;
  stage.ask("C", 1);
  stage.ask("A", 5);
  stage.ask("B", 1);
  EXPECT_EQ(stage.ends(7), "CBAAAAA");
}

TEST(ExecutorTenants, ATenantForEveryRequestTakesNoMemory) {
  TenantStage stage;
  stage.ask("A", 400);
  for (int i = 0; i < 200; ++i) {
    stage.ask("tenant " + std::to_string(i), 1);
    stage.ends(1);
    ASSERT_TRUE(stage.books_balance()) << "after " << i;
  }
}

TEST(ExecutorTenants, APromptIsReadBeforeTheDecodesOfATenantThatHasHadAsMuch) {
  Stage stage({.slots = 4, .prefix_cache = false});
  const auto loud = stage.post(with_front(10, 1), {.max_tokens = 50, .tenant = "loud"});
  stage.turn();
  stage.turn();
  const auto quiet = stage.post(with_front(10, 2), {.max_tokens = 50, .tenant = "quiet"});
  const auto output_tokens = [&] { return stage.executor->stats().output_tokens.load(); };
  const std::uint64_t before = output_tokens();
  stage.turn();
  EXPECT_EQ(output_tokens(), before + 1) << "the prompt alone, and its first token";
  stage.turn();
  EXPECT_EQ(output_tokens(), before + 3) << "both decode";
  stage.turns();
  EXPECT_EQ(stage.end_of(loud).usage.output_tokens, 50);
  EXPECT_EQ(stage.end_of(quiet).usage.output_tokens, 50);
}

TEST(ExecutorTenants, PassesAreShortWhereAnotherTenantMayCome) {
  const auto per_token = std::chrono::milliseconds(4);
  Stage stage({.slots = 8, .prefix_cache = false, .rules = {.token = per_token}});
  const auto five_prompts = [&] {
    for (TokenId i = 0; i < 5; ++i) stage.post(with_front(10, i), {.tenant = "loud"});
    const std::uint64_t before = stage.prompt_tokens();
    stage.turn();
    const std::uint64_t read = stage.prompt_tokens() - before;
    stage.turns();
    return read;
  };
  EXPECT_EQ(five_prompts(), 60U) << "one tenant: all at once";
  stage.post(with_front(10, 1), {.max_tokens = 20, .tenant = "loud"});
  stage.ask(with_front(10, 2), {.tenant = "quiet"});
  EXPECT_EQ(five_prompts(), 24U) << "until there are 16 tokens, which is the least";
}

// Two tenants of unlike requests that always want more, for 1,000 passes.
class Weighted : public testing::TestWithParam<std::int32_t> {
 protected:
  // Tokens computed for A, of those computed for both.
  static double part_of_a(double weight_of_a, double other_weight_of_a, Nanos pause = {}) {
    Stage stage({.slots = GetParam(), .batch = 64, .prefix_cache = false});
    std::map<std::string, double> computed;
    std::map<std::uint64_t, std::string> waiting;
    int asked = 0;
    const auto keep_busy = [&](const std::string& tenant, std::int32_t front, std::int32_t answer) {
      const auto busy =
          std::ranges::count_if(waiting, [&](const auto& w) { return w.second == tenant; });
      for (auto i = busy; i < 20; ++i) {
        const double weight = tenant == "B"      ? 1
                              : ++asked % 2 == 0 ? weight_of_a
                                                 : other_weight_of_a;
        waiting.emplace(stage.post(with_front(front, 1),
                                   {.max_tokens = answer, .tenant = tenant, .weight = weight}),
                        tenant);
      }
    };
    for (int pass = 0; pass < 1000; ++pass) {
      keep_busy("A", 7, 6);
      keep_busy("B", 28, 3);
      stage.turn();
      stage.clock.advance(pause);
      std::erase_if(waiting, [&](const auto& w) {
        if (!stage.states.at(w.first)->finished()) return false;
        const Usage usage = stage.end_of(w.first).usage;
        computed[w.second] += usage.prompt_tokens + usage.output_tokens - 1;
        return true;
      });
    }
    EXPECT_TRUE(stage.executor->books_balance());
    return computed["A"] / (computed["A"] + computed["B"]);
  }
};

TEST_P(Weighted, ThreeBesideOneGetsThreePartsOfFour) {
  const double part = part_of_a(3, 3);
  RecordProperty("part", std::to_string(part));
  EXPECT_NEAR(part, 0.75, 0.75 * 0.05);
}

TEST_P(Weighted, TheSameWeightsGetTheSame) { EXPECT_NEAR(part_of_a(1, 1), 0.5, 0.5 * 0.05); }

// Ageing lifts what a better class holds back; it must not put the order of arrival in the place of
// weights.
TEST_P(Weighted, WhoWaitsForLongGetsNoMore) {
  EXPECT_NEAR(part_of_a(3, 3, std::chrono::milliseconds(20)), 0.75, 0.75 * 0.05);
}

TEST_P(Weighted, RequestsOfOneTenantCountByTheirOwn) {
  // Half of its tokens count a half, half of them a quarter: 3 / 8 together.
  EXPECT_NEAR(part_of_a(2, 4), 8.0 / 11, 8.0 / 11 * 0.05);
}

// A stream of HIGH requests that would keep the executor busy for ever.
TEST(ExecutorAgeing, WhatABetterClassHoldsBackIsLiftedToIt) {
  Stage stage({.slots = 1, .prefix_cache = false});
  std::vector<std::uint64_t> high;
  const auto low = stage.post(with_front(10, 1), {.max_tokens = 3, .priority = Priority::kLow});
  int turns = 0;
  for (; turns < 1000 && !stage.states.at(low)->finished(); ++turns) {
    const auto waiting = std::ranges::count_if(
        high, [&](std::uint64_t id) { return !stage.states.at(id)->finished(); });
    if (waiting < 3)
      high.push_back(stage.post(with_front(10, 2), {.max_tokens = 3, .priority = Priority::kHigh}));
    stage.turn();
    stage.clock.advance(std::chrono::milliseconds(20));
  }
  // LOW is HIGH after two steps of 500 ms, and has had less.
  EXPECT_GT(turns, 2 * 500 / 20);
  EXPECT_LT(turns, 2 * 500 / 20 + 20);
  EXPECT_TRUE(stage.executor->books_balance());
}

INSTANTIATE_TEST_SUITE_P(Slots, Weighted, testing::Values(1, 4, 8),
                         [](const auto& c) { return std::to_string(c.param); });

}  // namespace
}  // namespace choir
