#include "runtime/warm_up.h"

#include <array>

namespace choir {

Status warm_up(Backend& backend, const Model& model, Engine& engine, const Clock& clock) {
  constexpr SeqId kWarm{~0ULL};
  const std::array<int, 1> anywhere = {-1};
  const std::unique_ptr<Pool> pool = backend.create_pool(anywhere);
  const AbortSignal never(clock);
  const std::array<TokenId, 1> token = {0};
  engine.attach(*pool);
  Status done;
  if (!model.info().generates) {
    const std::array<std::span<const TokenId>, 1> texts = {token};
    if (const auto vectors = engine.embed(texts, never); !vectors)
      done = tl::unexpected(vectors.error());
  } else {
    const StepPlan plan{.slices = {{kWarm, 0, 1, true}}, .preempted = {}};
    const std::array<std::span<const TokenId>, 1> slices = {token};
    const auto outcome = engine.run(plan, slices, never);
    if (!outcome)
      done = tl::unexpected(outcome.error());
    else if (*outcome != RunOutcome::kDone)
      done = fail(Code::kEngineFailed, "the first pass of the engine did not succeed");
    engine.truncate(kWarm, 0);
  }
  engine.detach();
  return done;
}

}  // namespace choir
