#include "bench/engine/pass.h"

#include "base/check.h"

namespace choir::bench {

SeqId sequence_id(int index) { return SeqId{static_cast<std::uint64_t>(index + 1)}; }

std::vector<TokenId> any_text(int tokens) {
  std::vector<TokenId> text;
  for (int i = 0; i < tokens; ++i) text.push_back(1000 + 37 * i % 5000);
  return text;
}

void compute_pass(LlamaEngine& engine, int first, int count, std::span<const TokenId> text) {
  const SteadyClock clock;
  const AbortSignal never(clock);
  StepPlan plan;
  std::vector<std::span<const TokenId>> spans;
  for (int s = first; s < first + count; ++s) {
    const SeqId id = sequence_id(s);
    plan.slices.push_back({id, engine.computed(id), static_cast<std::int32_t>(text.size()), true});
    spans.push_back(text);
  }
  CHOIR_CHECK(engine.run(plan, spans, never) == RunOutcome::kDone, "a pass is computed");
}

}  // namespace choir::bench
