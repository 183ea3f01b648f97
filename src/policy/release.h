// Decides which of an executor's waiting sequences may begin: continuous batching, one at a time,
// or in groups that begin together. What has begun always goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "choir/config.h"
#include "choir/ids.h"
#include "choir/units.h"

namespace choir {

struct WaitView {
  SeqId id;
  Priority priority = Priority::kNormal;  // after ageing
  Instant arrived;
  bool begun = false;  // was let go before
  bool go = false;     // the answer
};

struct ReleaseRules {
  Batching batching = Batching::kContinuous;
  std::int32_t batch = 8;                         // sequences that begin together
  Nanos collect = std::chrono::milliseconds(10);  // longest wait for a group to fill
  Nanos fill{0};  // the same for kContinuous while nothing runs; 0: none
};

// Sets `go` of every row. Returns when to ask again though nothing has changed: a group whose wait
// is over then. Order of the rows does not matter; kOneAtATime takes the best (priority, arrived,
// id) once nothing that has begun is left.
std::optional<Instant> plan_release(std::span<WaitView> rows, const ReleaseRules& rules,
                                    Instant now);

}  // namespace choir
