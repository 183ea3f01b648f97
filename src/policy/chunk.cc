#include "policy/chunk.h"

#include <algorithm>

#include "base/check.h"

namespace choir {
namespace {

constexpr double kUnknownSecondsPerToken = 0.004;  // a 1B model on two old cores: rather slow
constexpr std::int32_t kChunkTokensMin = 16;       // one tile of rows of the matrix kernels
// Alone, a pass may take longer, for efficiency; but the next request waits for its end, unless
// that is CRITICAL and may abort it.
constexpr std::int64_t kQuantaAlone = 8;
constexpr std::int32_t kChunkTokensMinAlone = 64;
constexpr Nanos kQuantumMin = std::chrono::milliseconds(10);

}  // namespace

std::int32_t chunk_tokens(const ChunkView& view) {
  CHOIR_CHECK(view.batch_tokens_max >= 1, "a batch holds at least one token");
  const bool known = view.seconds_per_token > 0;  // false for NaN too
  const Nanos time = view.contended ? view.quantum : view.quantum * kQuantaAlone;
  const double fits = to_seconds(time) / (known ? view.seconds_per_token : kUnknownSecondsPerToken);
  // Clamped before the cast: a speed near zero gives a quotient that no integer holds.
  const std::int32_t least =
      std::min(view.contended ? kChunkTokensMin : kChunkTokensMinAlone, view.batch_tokens_max);
  return static_cast<std::int32_t>(std::clamp<double>(fits, least, view.batch_tokens_max));
}

Nanos quantum_beside(Nanos configured, Nanos urgent_first_token) {
  if (urgent_first_token <= Nanos{0}) return configured;
  const Nanos half = std::max<Nanos>(urgent_first_token / 2, kQuantumMin);
  return std::min(configured, half);
}

}  // namespace choir
