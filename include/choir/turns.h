// What the lanes of a node have computed lately, turn by turn, as Node::turns() shows it. Plain
// values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "choir/units.h"

namespace choir {

// One turn: a lane computed one pass for one executor. Its times are of the node's clock.
struct ComputedTurn {
  Instant began;
  Nanos length{0};
  std::string executor;                   // empty: it has left the node long ago
  std::int32_t prompt_tokens = 0;         // also those of texts that were embedded
  std::int32_t decode_rows = 0;           // sequences that got one token further
  Priority priority = Priority::kNormal;  // the best of the requests in it
  int threads = 0;                        // that computed it
  bool operator==(const ComputedTurn&) const = default;
};

struct LaneTurns {
  std::uint64_t next = 0;           // where the next look goes on
  std::uint64_t missing = 0;        // turns since the last look that are not kept any more
  std::vector<ComputedTurn> turns;  // oldest first
};

inline constexpr std::size_t kTurnsKept = 4096;  // of each lane

struct TurnsSince {
  Instant now;
  std::vector<LaneTurns> lanes;  // one for each core; those of the layout come first
};

}  // namespace choir
