// What the lanes of a node have computed lately, turn by turn, as Node::turns() shows it. Plain
// values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "choir/units.h"

namespace choir {

// Why an executor got its turn and no other did.
enum class TurnReason : std::uint8_t {
  kAlone,   // no other had work and no turn
  kShares,  // of those of its class, it had had the least for its shares
  kClass,   // its class was the best of those that had work
  kWaited,  // others had work of a better class, and it had waited for so long that it went first
};
inline constexpr std::array<std::string_view, 4> kTurnReasonNames = {"alone", "shares", "class",
                                                                     "waited"};
constexpr std::string_view to_string(TurnReason reason) {
  return kTurnReasonNames.at(static_cast<std::size_t>(reason));
}

// One turn: a lane computed one pass for one executor. Its times are of the node's clock.
struct ComputedTurn {
  Instant began;
  Nanos length{0};
  std::string executor;                   // empty: it has left the node long ago
  std::int32_t prompt_tokens = 0;         // also those of texts that were embedded
  std::int32_t decode_rows = 0;           // sequences that got one token further
  Priority priority = Priority::kNormal;  // the best of the requests in it
  int threads = 0;                        // that computed it
  TurnReason reason = TurnReason::kAlone;
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
