// Says what a request that is active does, and when one that waits is expected to begin. For
// display: nothing is decided by it.
//
// Pure, as all of policy/. Idea of the estimate: processor sharing with a limited number of slots.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "choir/config.h"
#include "choir/ids.h"
#include "choir/request_info.h"
#include "choir/units.h"

namespace choir {

// What is known of a request without asking the owner of its executor's turn.
struct SightView {
  bool ended = false;
  bool loaded = true;      // its executor is in memory
  bool awaited = false;    // its tokens come later, or others begin with it
  bool suspended = false;  // its executor
  bool reader_behind = false;
  bool others_turn = false;  // only one request may run, and it is another one
  bool parked = false;       // lost its cells, and no pass has computed it since
  bool slots_full = false;   // of its executor
  Batching batching = Batching::kContinuous;
  std::int32_t prompt_tokens = 0;  // 0: not known yet
  std::int32_t computed = 0;       // with KV state; 0: not begun, or begun again
};
struct Sight {
  RequestPhase phase = RequestPhase::kWaiting;
  WaitsFor waits_for = WaitsFor::kTurn;
  bool operator==(const Sight&) const = default;
};
Sight sight_of(const SightView& request);

// One request that competes for the slots of an executor. Ids are unique.
struct PlaceView {
  RequestId id;
  Priority priority = Priority::kNormal;  // after ageing
  std::string_view tenant;
  Instant arrived;
  bool begun = false;       // has a slot, or had one
  double seconds_left = 0;  // of compute, until its end; not negative
};

// Where `id` stands among `rows`, of which at most `slots` >= 1 run at once. Needs: `id` is one of
// them. Those that wait begin in the order of (class, turn of the tenant, arrival, id), where the
// n-th waiting request of a tenant takes its n-th turn. The order of the input does not matter.
// Cost: O(n log n).
QueuePlace place_of(std::span<const PlaceView> rows, RequestId id, std::int32_t slots);

}  // namespace choir
