// Cutting, copying and moving a part of a sequence, for each kind of memory that the engine has.
#include "engine/llama_memory.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/llama_model_info.h"
#include "engine_rig.h"
#include "made_models.h"

namespace choir {
namespace {

struct Case {
  std::string name;  // of the test
  std::string model;
  Fronts fronts;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Memory : public testing::TestWithParam<Case> {
 protected:
  // What the model says after `prompt`, computed by nobody else and at once.
  Tokens alone(const Tokens& prompt, int count) {
    Tokens out = rig.greedy(kAlone, prompt, count);
    rig.engine->truncate(kAlone, 0);
    return out;
  }
  static Tokens joined(Tokens front, const Tokens& rest) {
    front.insert(front.end(), rest.begin(), rest.end());
    return front;
  }
  static Tokens from(const Tokens& tokens, std::int32_t begin) {
    return {tokens.begin() + begin, tokens.end()};
  }

  // Equal answers are promised where our kernels compute all of the model.
  bool exact() const { return rig.model->info().not_covered.empty(); }

  static constexpr SeqId kAlone{99};
  static constexpr int kCount = 8;
  Rig rig{made_model(GetParam().model)};
  // Longer than the window of the one that has one.
  const Tokens front = rig.prompt("It was a dark and stormy night; the rain fell in torrents");
  std::int32_t size() const { return static_cast<std::int32_t>(front.size()); }
  const Tokens other_end = from(rig.prompt(", except at times"), 1);
};

TEST_P(Memory, SaysWhatItCanDo) { EXPECT_EQ(rig.engine->fronts(), GetParam().fronts); }

TEST_P(Memory, AForkOfAFrontGoesOnLikeOneAlone) {
  const Tokens whole = joined(front, rig.greedy(kA, front, kCount));
  const Tokens prompt = joined(front, other_end);
  const Tokens want = alone(prompt, kCount);
  const std::int32_t got = rig.engine->fork(kA, kB, size()).value();
  if (GetParam().fronts != Fronts::kAny) {
    EXPECT_EQ(got, 0) << "its state has moved on";
  }
  EXPECT_EQ(rig.engine->computed(kB), got);
  if (!exact()) GTEST_SKIP() << "answers are not compared: " << rig.model->info().not_covered;
  EXPECT_EQ(rig.greedy(kB, from(prompt, got), kCount), want);
  EXPECT_EQ(rig.greedy(kA, {whole.back()}, 4), alone(whole, 4)) << "the origin is as it was";
}

TEST_P(Memory, AForkOfAllGoesOnLikeOneAlone) {
  rig.feed(kA, front);
  const std::int32_t got = rig.engine->fork(kA, kB, size()).value();
  EXPECT_EQ(got, size());
  if (!exact()) GTEST_SKIP() << "answers are not compared: " << rig.model->info().not_covered;
  EXPECT_EQ(rig.greedy(kB, joined(from(front, got), other_end), kCount),
            alone(joined(front, other_end), kCount));
  EXPECT_EQ(rig.greedy(kA, {5}, kCount), alone(joined(front, {5}), kCount));
}

TEST_P(Memory, ACutSequenceGoesOnLikeOneAlone) {
  rig.greedy(kA, front, kCount);
  const std::int32_t kept = rig.engine->truncate(kA, size());
  if (GetParam().fronts != Fronts::kAny) {
    EXPECT_EQ(kept, 0) << "its state has moved on";
  }
  EXPECT_EQ(rig.engine->computed(kA), kept);
  if (!exact()) GTEST_SKIP() << "answers are not compared: " << rig.model->info().not_covered;
  const Tokens prompt = joined(front, other_end);
  EXPECT_EQ(rig.greedy(kA, from(prompt, kept), kCount), alone(prompt, kCount));
}

TEST_P(Memory, ASavedStateGoesOnInAnotherEngine) {
  rig.feed(kB, other_end);  // so that it does not lie where it will lie
  rig.feed(kA, front);
  const std::string blob = rig.engine->save(kA).value();
  const Tokens rest = rig.greedy(kA, {5}, kCount);
  Rig other(made_model(GetParam().model),
            {.context_tokens = 256, .sequences_max = 2, .batch_tokens_max = 64});
  ASSERT_TRUE(other.engine->restore(kB, blob));
  EXPECT_EQ(other.engine->computed(kB), size());
  EXPECT_EQ(other.greedy(kB, {5}, kCount), rest);
  EXPECT_EQ(alone(joined(front, {5}), kCount), rest);
}

TEST_P(Memory, AStateRestoredAmongOthersLeavesThemAsTheyWere) {
  rig.feed(kA, front);
  const std::string blob = rig.engine->save(kA).value();
  rig.feed(kB, other_end);
  ASSERT_TRUE(rig.engine->restore(kC, blob));
  EXPECT_EQ(rig.greedy(kC, {5}, kCount), alone(joined(front, {5}), kCount));
  EXPECT_EQ(rig.greedy(kB, {5}, kCount), alone(joined(other_end, {5}), kCount));
  EXPECT_EQ(rig.greedy(kA, {5}, kCount), alone(joined(front, {5}), kCount));
}

TEST_P(Memory, APassThatIsToldToStopHarmsNobody) {
  rig.feed(kA, front);
  rig.feed(kB, other_end);
  AbortSignal stop(rig.clock);
  stop.raise();
  const StepPlan plan{.slices = {{kA, size(), 1, true}, {kC, 0, size(), true}}, .preempted = {}};
  const Tokens next = {5};
  const std::array<std::span<const TokenId>, 2> spans = {next, front};
  const RunOutcome outcome = rig.engine->run(plan, spans, stop).value();
  // What cannot be undone is not begun, or brought to its end.
  EXPECT_EQ(outcome, GetParam().fronts == Fronts::kAny ? RunOutcome::kAborted : RunOutcome::kDone);
  Tokens a = joined(front, {5});
  const std::int32_t has = rig.engine->computed(kA);
  if (has == size() + 1) a.push_back(6);
  EXPECT_EQ(rig.greedy(kA, from(a, has), kCount), alone(a, kCount));
  EXPECT_EQ(rig.greedy(kB, {5}, kCount), alone(joined(other_end, {5}), kCount));
}

INSTANTIATE_TEST_SUITE_P(Kind, Memory,
                         testing::Values(Case{"Cells", "llama-q8_0", Fronts::kAny},
                                         Case{"Window", "sliding", Fronts::kAny},
                                         Case{"State", "mamba", Fronts::kWhole},
                                         Case{"Wkv", "rwkv7", Fronts::kWhole},
                                         Case{"StateAndCells", "jamba", Fronts::kWhole}),
                         [](const auto& c) { return c.param.name; });

TEST(Wkv, HeadsThatTheEngineWouldOverstepAreRefused) {
  const auto narrow =
      LlamaModel::open(made_model("rwkv7-narrow"), LlamaModel::Load::kWithoutWeights, "a").value();
  const Status runs = check_runs(narrow->info());
  ASSERT_FALSE(runs);
  EXPECT_NE(runs.error().message.find("heads of 32 numbers"), std::string::npos)
      << runs.error().message;
  const auto whole =
      LlamaModel::open(made_model("rwkv7"), LlamaModel::Load::kWithoutWeights, "a").value();
  EXPECT_TRUE(check_runs(whole->info()));
}

}  // namespace
}  // namespace choir
