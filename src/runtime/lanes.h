// The compute threads: one lane for each core, of which the layout uses some, each with the thread
// pools it needs. Together they never use more cores than allowed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/patience.h"
#include "base/threads.h"
#include "engine/engine.h"
#include "runtime/executor.h"
#include "runtime/schedule.h"
#include "runtime/turn_log.h"

namespace choir {

class Lanes {
 public:
  // When an executor needs a turn even if no mail comes; called on a lane after its turn.
  using WakeAt = std::function<void(ExecutorId, std::optional<Instant>)>;

  // cpus: one for each thread the lanes may have, pinned to it; -1: not pinned.
  // lanes_max: lanes in use at once; 0: as many as there are cpus.
  Lanes(std::vector<int> cpus, int lanes_max, const TurnRules& rules, const Clock& clock,
        Backend& backend, WakeAt wake_at);
  ~Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  void start();
  // Lanes end after their turns.
  void stop();
  void stop_until(Instant end);  // for the exit of the process

  void add(std::shared_ptr<Executor> executor);
  void set_shares(ExecutorId id, double shares);
  void set_rules(const TurnRules& rules);
  // It leaves: the turn that runs is its last one. Returns at once.
  void retire(ExecutorId id);
  // retire(), waits for the end of the turn that runs, and forgets it. One that is not known (any
  // more) is nothing to do.
  void remove(ExecutorId id);
  // There is work for it. Any thread; never blocks for longer than the lock.
  void ready(ExecutorId id, Priority best);

  // A turn, as a lane takes it.
  struct Next {
    std::shared_ptr<Executor> executor;  // null: stop
    Turn turn;
    Instant waiting_since;
  };
  // What a lane's thread does, for a caller whose lanes were not started. Between the two: the
  // executor's turn. end_turn() lets go of the executor.
  std::optional<Next> take_turn(int lane);
  void end_turn(int lane, Next& next, TurnResult result);

  LaneLayout layout() const;
  int lanes_max() const;
  std::uint64_t layout_changes() const;
  Schedule::CoreSeconds core_seconds(ExecutorId id) const;
  // What the lanes have computed, as Node::turns(). Waits for no turn.
  TurnsSince turns(std::span<const std::uint64_t> from) const;

 private:
  struct State {
    Schedule schedule;
    std::map<ExecutorId, std::shared_ptr<Executor>> executors;
    bool stopping = false;
    State(int cores, const TurnRules& rules, int lanes_max) : schedule(cores, rules, lanes_max) {}
  };
  std::optional<Next> next_of(State& s, int lane) const;
  // A pool for each cut of the cores that a lane has met; made on its thread, because making one
  // pins the thread that makes it, and kept: an engine may still know it.
  using Pools = std::map<std::pair<int, int>, std::unique_ptr<Pool>>;
  void loop(int lane);
  // False: it is to stop.
  bool turn_of(int lane, Pools& pools);
  TurnResult carry_out(const Next& next, Pools& pools);

  const std::vector<int> cpus_;
  const Clock& clock_;
  Backend& backend_;
  const WakeAt wake_at_;
  PatientMonitor<State> state_;
  TurnLog log_;
  Threads threads_;
};

}  // namespace choir
