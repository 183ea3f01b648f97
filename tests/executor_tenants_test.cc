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

TEST(ExecutorTenants, ATenantForEveryRequestTakesNoMemory) {
  TenantStage stage;
  stage.ask("A", 400);
  for (int i = 0; i < 200; ++i) {
    stage.ask("tenant " + std::to_string(i), 1);
    stage.ends(1);
    ASSERT_TRUE(stage.books_balance()) << "after " << i;
  }
}

}  // namespace
}  // namespace choir
