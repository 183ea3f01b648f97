#include "base/clock.h"
#include "sim/simulator.h"

namespace choir::sim {

std::string describe(const SimReport& r) {
  return std::to_string(r.requests) + " requests: " + std::to_string(r.finished) + " finished, " +
         std::to_string(r.cancelled) + " cancelled, " + std::to_string(r.expired) + " expired, " +
         std::to_string(r.stalled) + " stalled, " + std::to_string(r.failed) + " failed; " +
         std::to_string(r.steps) + " steps, " + std::to_string(r.preemptions) + " preemptions, " +
         std::to_string(r.aborts) + " aborts, " + std::to_string(r.reused_tokens) +
         " tokens reused, " + std::to_string(r.migrated) + " resumed elsewhere, " +
         std::to_string(r.layout_changes) + " layouts, longest wait " +
         std::to_string(r.longest_wait / std::chrono::microseconds(1)) + " us";
}

}  // namespace choir::sim
