// Decides which executors leave memory because no tenant wants them any more. A lease says that a
// tenant wants an executor in memory until a point in time ("keep alive").
//
// - Each tenant has at most one lease of an executor; a new one takes the place of the old one. It
//   can be ended early, by its own tenant only.
// - An executor leaves when its last lease has ended and nothing works there. One that was never
//   held, or was loaded again since, stays: no tenant has said for how long it is wanted.
// - `pinned` is not a lease: a pinned executor never leaves by itself, held or not.
//
// Memory pressure is another matter, and policy/residency decides there. When a load needs room,
// idle executors leave though their leases have not ended: a lease is a wish, and the work that
// needs the room is there now. Their leases go on, and count again when they are back. There the
// order is that of last use and of what a reload costs; leases do not change it, so no tenant can
// keep the others out by holding much for long. What both have in common: an executor never leaves
// while it has work, is being loaded, or was just requested, and no tenant can end the lease of
// another one.
//
// Pure, as all of policy/. Idea: keep_alive of Ollama, with a lease for each tenant.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "choir/ids.h"
#include "choir/units.h"

namespace choir {

inline constexpr Instant kForEver{Nanos::max()};

struct Lease {
  std::string tenant;
  Instant until;  // it has ended when the time is `until`; kForEver: never
  bool operator==(const Lease&) const = default;
};

// What is known of one executor: a value.
struct Hold {
  std::vector<Lease> leases;  // one for each tenant, in no order
  bool let_go = false;        // some lease has ended since it was loaded, or was given up

  void hold(std::string_view tenant, Instant until);
  // The tenant's lease ends, if it has one. The tenant wants the executor to leave: where no other
  // tenant holds it, it is let go also by a tenant that had no lease.
  void release(std::string_view tenant);
  // Leases that have ended by `now` are taken out.
  void end_leases(Instant now);
  // It was loaded, or has left memory: what ended before does not matter any more.
  void begin_anew(Instant now);
  bool operator==(const Hold&) const = default;
};

// An executor. No id appears twice.
struct HoldView {
  ExecutorId id;
  Hold hold;
  bool in_memory = true;
  bool pinned = false;
  bool busy = false;  // has work, is just being moved or unloaded, or was just requested
  Instant last_used;  // when its last work ended, or it was loaded
  bool operator==(const HoldView&) const = default;
};

struct HoldPlan {
  std::vector<ExecutorId> leave;  // what was unused for longest first, then the smallest id
  std::optional<Instant> again;   // when the next lease ends; ask again then
  bool operator==(const HoldPlan&) const = default;
};

// Who leaves now. One that is let go while it is busy or pinned is not in the answer: ask again
// when that is over. The answer does not depend on the order of the input. Cost: O(n log n).
HoldPlan plan_holds(std::span<const HoldView> executors, Instant now);

}  // namespace choir
