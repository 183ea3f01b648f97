// Decides which idle executors leave memory when the next one does not fit.
//
// Pure, as all of policy/. Idea: GreedyDual-Size (Cao and Irani, 1997), which weighs what it costs
// to get a thing back against the room that it takes, with the idle time in the place of its clock.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "choir/ids.h"
#include "choir/units.h"

namespace choir {

// An executor that is in memory. No id appears twice.
struct ResidentView {
  ExecutorId id;
  Instant last_used;               // when its last work ended, or it was loaded
  bool pinned = false;             // never leaves
  bool busy = false;               // has queued or running work: does not leave now
  double reload_seconds = 0;       // from leaving until it could run again; not negative or NaN
  std::uint64_t own_bytes = 0;     // KV and compute: free when it leaves
  std::uint64_t weights_key = 0;   // equal for the executors of one file; 0 only without weights
  std::uint64_t weight_bytes = 0;  // free when the last resident executor of this key leaves;
                                   // equal where the key is equal
  bool operator==(const ResidentView&) const = default;
};

struct ResidencyPlan {
  std::vector<ExecutorId> leave;  // in this order, the least worth keeping first
  std::uint64_t freed = 0;        // bytes; if not `enough`: what all idle ones would free
  bool enough = false;            // freed >= missing_bytes; if not, none leaves
  bool operator==(const ResidencyPlan&) const = default;
};

// Which executors leave so that `missing_bytes` come free. None when 0 are missing, none that is
// pinned or busy, and none when all idle ones together do not suffice: unloading them would win
// nothing.
//
// `keep_weights_key` is the key of what is to be loaded: the weights of that file are needed in any
// case, so they do not count as freed. 0: none.
//
// The longer an executor has been idle, the later one expects it back, so by leaving it costs
// reload_seconds / idle seconds in each second that passes. The room that it makes is its own bytes
// and an equal share of its weights (none if they stay, with one that is pinned or busy), but no
// more than is missing: else a large executor would leave where a small one suffices. The one with
// the least cost for its room leaves first (then the smallest id).
//
// Those not needed are kept after all, the most costly first: of those that leave, none could stay.
// The answer does not depend on the order of the input. Cost: O(n log n).
ResidencyPlan plan_residency(std::span<const ResidentView> residents, std::uint64_t missing_bytes,
                             std::uint64_t keep_weights_key, Instant now);

}  // namespace choir
