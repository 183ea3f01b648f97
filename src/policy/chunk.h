// Decides how many prompt tokens one step may carry, so that a turn stays within the quantum.
#pragma once

#include <cstdint>

#include "choir/units.h"

namespace choir {

struct ChunkView {
  double seconds_per_token = 0;  // measured on this lane width; 0 = not known yet
  bool contended = false;        // others wait: another executor, or a decode in this one
  Nanos quantum = std::chrono::milliseconds(50);
  std::int32_t batch_tokens_max = 512;
};

// What fits into the quantum by the measured speed, but at least 16 tokens: below that a pass over
// the weights is paid for too few of them. When none waits, what fits into eight quanta, at least
// 64: long enough to be efficient, short enough for a request that comes in the middle of it. Never
// more than the batch. An unknown speed counts as 4 ms a token.
std::int32_t chunk_tokens(const ChunkView& view);

// The quantum beside urgent work: no longer than half of what a first token of it computes alone,
// so that waiting for a turn to end costs it half as much again; but at least 10 ms, below which a
// turn is mostly its own overhead. `urgent_first_token`: 0 while none has been seen.
Nanos quantum_beside(Nanos configured, Nanos urgent_first_token);

}  // namespace choir
