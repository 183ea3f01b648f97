// The real engine on one thread, with the calls that its tests make over and over.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/llama_engine.h"
#include "engine/llama_model.h"
#include "engine/llama_pool.h"

namespace choir {

using Tokens = std::vector<TokenId>;

struct Rig {
  explicit Rig(const std::string& path, EngineConfig config = {.context_tokens = 512,
                                                               .sequences_max = 4,
                                                               .batch_tokens_max = 128})
      : model(LlamaModel::open(path, LlamaModel::Load::kWeights, "test").value()),
        engine(LlamaEngine::create(model, config).value()) {
    engine->attach(pool);
  }
  ~Rig() { engine->detach(); }

  Result<RunOutcome> run(const StepPlan& plan, const std::vector<Tokens>& tokens) {
    const std::vector<std::span<const TokenId>> spans(tokens.begin(), tokens.end());
    return engine->run(plan, spans, never);
  }
  // Computes `tokens` after what `seq` has and returns the greedy next token.
  TokenId feed(SeqId seq, const Tokens& tokens) {
    const StepPlan plan{
        .slices = {{seq, engine->computed(seq), static_cast<std::int32_t>(tokens.size()), true}},
        .preempted = {}};
    EXPECT_EQ(run(plan, {tokens}).value(), RunOutcome::kDone);
    return argmax(0);
  }
  TokenId argmax(std::size_t slice) {
    const auto logits = engine->logits(slice);
    return static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
  }
  Tokens greedy(SeqId seq, Tokens prompt, int count) {
    Tokens out;
    for (int i = 0; i < count; ++i) {
      out.push_back(feed(seq, prompt));
      prompt = {out.back()};
    }
    return out;
  }
  Tokens prompt(std::string_view text) {
    return model->tokenize(text, Model::Special::kParse).value();
  }

  SteadyClock clock;
  AbortSignal never{clock};
  std::array<int, 1> cpus = {-1};
  LlamaPool pool{cpus};
  std::shared_ptr<const LlamaModel> model;
  std::unique_ptr<LlamaEngine> engine;
};

inline constexpr SeqId kA{11};
inline constexpr SeqId kB{22};
inline constexpr SeqId kC{33};

}  // namespace choir
