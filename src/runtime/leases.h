// Which tenants hold which executors of a node, and until when. What follows from it is decided by
// policy/hold and carried out by Residents.
//
// Any thread may call, also under the lock of ActiveRequests; nothing blocks.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "choir/ids.h"
#include "choir/node.h"
#include "choir/result.h"
#include "policy/hold.h"
#include "runtime/alarms.h"
#include "runtime/executor_table.h"

namespace choir {

// The alarm of the lease that ends next; no executor has this id.
inline constexpr ExecutorId kLeasesAlarm{1ULL << 62U};

class Leases {
 public:
  struct Parts {  // outlive it
    const ExecutorTable& table;
    Alarms& alarms;
    const Clock& clock;
  };
  // `look`: some executor may have to leave. Called without the lock of this, and not again before
  // begin_look(); it must not block.
  Leases(const Parts& parts, std::function<void()> look) : p_(parts), look_(std::move(look)) {}

  // As Node::hold() and Node::release().
  Status hold(std::string_view name, std::string_view tenant, std::chrono::milliseconds duration);
  Status release(std::string_view name, std::string_view tenant);
  // By tenant.
  std::vector<LeaseInfo> of(ExecutorId id) const;

  // A lease has ended, or what kept an executor in memory beside leases.
  void look();
  // The same, if all leases of this executor have ended.
  void look_for(ExecutorId id);
  // look() at that time.
  void look_at(Instant at) { p_.alarms.set_earlier(kLeasesAlarm, at); }

  // Whoever carries out what look() asks for: what is known of all executors that matter.
  std::map<ExecutorId, Hold> begin_look();
  // It was loaded, or has left memory.
  void begin_anew(ExecutorId id);
  // It was removed.
  void forget(ExecutorId id);
  // What is known of it, for another node to which it goes; and what came with it from one.
  Hold copy(ExecutorId id) const;
  void take_over(ExecutorId id, Hold hold);

 private:
  struct State {
    std::map<ExecutorId, Hold> holds;  // of executors that were held since they were loaded
    bool looking = false;
  };

  const Parts p_;
  const std::function<void()> look_;
  Guarded<State> state_;
};

}  // namespace choir
