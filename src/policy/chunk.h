// Decides how many prompt tokens one step may carry, so that a turn stays within the quantum.
#pragma once

#include <cstdint>

#include "choir/units.h"

namespace choir {

struct ChunkView {
  double seconds_per_token = 0;  // measured on this lane width; 0 = not known yet
  bool contended = false;        // somebody else waits: another executor, or a decode in this one
  Nanos quantum = std::chrono::milliseconds(50);
  std::int32_t batch_tokens_max = 512;
};

// The whole batch when nobody waits (the pass can still be aborted for a CRITICAL arrival). Else
// what fits into the quantum by the measured speed, but at least 16 tokens: below that a pass over
// the weights is paid for too few of them. An unknown speed counts as 4 ms a token.
std::int32_t chunk_tokens(const ChunkView& view);

}  // namespace choir
