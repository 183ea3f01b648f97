// What a conversation keeps between its requests, and what replaces it.
#include "runtime/kept_states.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/fake_engine.h"

namespace choir {
namespace {

constexpr ConversationKey kTalk{7};

struct Kept {
  std::shared_ptr<const sim::FakeModel> model = std::make_shared<sim::FakeModel>();
  sim::FakeEngine engine{model, {.context_tokens = 100, .sequences_max = 4}, {}, nullptr};
  ParkBudget budget{.most = 1000, .used = 0};
  ReuseScopes scopes;
  KeptStates states;

  void keep_parked(std::string blob) {
    budget.used += blob.size();
    states.keep(kTalk,
                {.seq = {},
                 .tokens = {1, 2},
                 .blob = std::move(blob),
                 .used = {},
                 .scope = scopes.hold("")},
                engine, budget);
  }
  void keep_resident(SeqId seq) {
    const std::vector<TokenId> tokens = {1, 2, 3};
    sim::FakePool pool(1);
    engine.attach(pool);
    const ManualClock clock;
    const StepPlan plan{.slices = {{.seq = seq, .count = 3, .sample = true}}, .preempted = {}};
    const std::vector<std::span<const TokenId>> of_slices = {tokens};
    ASSERT_TRUE(engine.run(plan, of_slices, AbortSignal(clock)));
    states.keep(kTalk,
                {.seq = seq, .tokens = tokens, .blob = {}, .used = {}, .scope = scopes.hold("")},
                engine, budget);
  }
};

TEST(KeptStates, WhatReplacesAParkedStateFreesItsBytes) {
  Kept kept;
  kept.keep_parked(std::string(600, 'a'));
  kept.keep_parked(std::string(400, 'b'));
  EXPECT_EQ(kept.budget.used, 400U);
  EXPECT_EQ(kept.states.parked_bytes(), 400U);
  EXPECT_EQ(kept.states.count(), 1);
}

TEST(KeptStates, WhatReplacesAResidentStateFreesItsCells) {
  Kept kept;
  kept.keep_resident(SeqId{1});
  kept.keep_resident(SeqId{2});
  EXPECT_EQ(kept.engine.cells_held(), 3);
  EXPECT_EQ(kept.states.use(), (KvUse{.cells = 3, .slots = 1}));
  kept.keep_parked("abc");
  EXPECT_EQ(kept.engine.cells_held(), 0);
  EXPECT_TRUE(kept.states.books_balance());
}

}  // namespace
}  // namespace choir
