#include "base/clock.h"
#include "sim/simulator.h"

namespace choir::sim {

std::string describe(const SimReport& r) {
  return std::to_string(r.requests) + " requests: " + std::to_string(r.finished) + " finished, " +
         std::to_string(r.cancelled) + " cancelled, " + std::to_string(r.expired) + " expired, " +
         std::to_string(r.stalled) + " stalled, " + std::to_string(r.failed) + " failed, " +
         std::to_string(r.refused) + " refused; " + std::to_string(r.steps) + " steps, " +
         std::to_string(r.preemptions) + " preemptions, " + std::to_string(r.aborts) + " aborts, " +
         std::to_string(r.reused_tokens) + " tokens reused, " + std::to_string(r.resumed) +
         " resumed elsewhere, " + std::to_string(r.layout_changes) + " layouts; " +
         std::to_string(r.migrations) + " moves with " + std::to_string(r.requests_moved) +
         " requests, " + std::to_string(r.unloads) + " unloads, " + std::to_string(r.removals) +
         " removals, " + std::to_string(r.nodes_ended) + " nodes ended, " +
         std::to_string(r.holds) + " leases, " + std::to_string(r.unheld) + " left unheld, " +
         std::to_string(r.forgotten) + " conversations forgotten, " + std::to_string(r.others) +
         " other changes; " + std::to_string(r.enqueued) + " enqueued, " +
         std::to_string(r.waited_for_load) + " of them for a load; " + std::to_string(r.loads) +
         " loads in the background, " + std::to_string(r.loads_failed) + " failed, " +
         std::to_string(r.loads_given_up) + " given up; longest wait " +
         std::to_string(r.longest_wait / std::chrono::microseconds(1)) + " us";
}

}  // namespace choir::sim
