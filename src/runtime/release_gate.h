// Which live sequences may compute in a turn (policy/release.h), and which of them rest at its end,
// so that later steps do not walk through them (runtime/waiting.h).
//
// Owned by an executor and used by the thread that has its turn. open() at the beginning of a turn,
// close() at its end.
#pragma once

#include <optional>
#include <vector>

#include "policy/release.h"
#include "runtime/executor_facts.h"
#include "runtime/live_set.h"
#include "runtime/turn_result.h"

namespace choir {

class ReleaseGate {
 public:
  ReleaseGate(const ExecutorFacts& facts, LiveSet& live) : facts_(facts), live_(live) {}

  // Sets `held` and `lifted` of those that are awake. `sequences_max`: that can hold cells.
  void open(std::int32_t sequences_max, Instant now);
  // Those that wait for room may begin in this turn, and there are some.
  bool queue_may_begin() const { return queue_open_ && live_.waiting().queued() > 0; }
  bool queue_open() const { return queue_open_; }
  // Puts to rest the sequences that have nothing to do, and says when a next turn is needed, and
  // for which class.
  void close(TurnResult& result);

 private:
  void release_fresh(std::int32_t sequences_max, Instant now);
  bool may_wait_for_room(const LiveSequence& live) const;
  LiveSet::Rest rest_of(LiveSequence& live) const;

  const ExecutorFacts& facts_;
  LiveSet& live_;
  bool queue_open_ = true;
  Priority best_seen_ = Priority::kCritical;  // of all, when the gate was last opened
  std::optional<Instant> release_at_;  // when waiting sequences may begin though nothing changes
  std::vector<WaitView> waits_;        // reused from turn to turn
  std::vector<LiveSet::Rest> to_rest_;
};

}  // namespace choir
