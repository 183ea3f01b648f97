// Who computes next, and on which cores: the conductor's state, without threads.
//
// A plain value of the node's lanes: the lanes' threads touch it under one lock (runtime/lanes.h),
// the simulator touches it directly. Decisions are policy/turn and policy/lanes; this class keeps
// the books that they need.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "choir/ids.h"
#include "policy/lanes.h"
#include "policy/turn.h"

namespace choir {

// The right to run one step of `executor` on cores [first_core, first_core + cores) of the allowed
// ones.
struct Turn {
  ExecutorId executor;
  int first_core = 0;
  int cores = 1;
  bool contended = false;  // another executor is runnable and not running
  TurnReason reason = TurnReason::kAlone;
  bool operator==(const Turn&) const = default;
};

class Schedule {
 public:
  // Needs cores >= 1. A node has as many lanes as cores; the layout says how many are in use, never
  // more than lanes_max. 0: as many as there are cores.
  Schedule(int cores, const TurnRules& rules, int lanes_max = 0);

  void add(ExecutorId id, double shares);
  // It leaves: from now on it gets no turn, whatever work it has and whichever thread calls
  // ready().
  void retire(ExecutorId id);
  // Forgets it. Needs: not running.
  void remove(ExecutorId id);

  void set_shares(ExecutorId id, double shares);
  // Classes or not, from the next turn on; the timelines start level again.
  void set_rules(const TurnRules& rules);

  // There is work for it (mail came), of this class at best. Any state; a running executor gets
  // another turn. Returns true when an idle lane could take it now.
  bool ready(ExecutorId id, Priority best, Instant now);

  // A turn for `lane`, or nothing: no work, not this layout's lane, or the layout is about to
  // change and other lanes have to end their turns first.
  std::optional<Turn> next(int lane, Instant now);

  // The turn of `lane` is over. `best`: class of what it still has to do, nullopt when nothing.
  // Returns true when a lane other than this one could now find a turn, or the executor is retired:
  // then a thread waits for its turn to end.
  bool finished(int lane, Nanos elapsed, std::optional<Priority> best, Instant now);

  // Executors whose running turn should end early because one of a better class, CRITICAL,
  // waits for a core.
  std::vector<ExecutorId> to_preempt() const;

  bool running(ExecutorId id) const;
  // When it became runnable or its last turn ended. Needs: it is there.
  Instant waiting_since(ExecutorId id) const { return entries_.at(id).waiting_since; }
  const LaneLayout& layout() const { return layout_; }
  std::uint64_t layout_changes() const { return layout_changes_; }
  int cores() const { return cores_; }
  int lanes_max() const { return lanes_max_; }
  // Of cores that computed for it, and of those that its shares gave it: the time of each turn,
  // divided among the executors of the best class that had work then.
  struct CoreSeconds {
    double had = 0;
    double due = 0;
  };
  CoreSeconds core_seconds(ExecutorId id) const;

 private:
  enum class State : std::uint8_t { kIdle, kReady, kRunning };
  struct Entry {
    State state = State::kIdle;
    double shares = 1;
    double virtual_seconds = 0;  // on the timeline of its class
    CoreSeconds seconds;
    Priority priority = Priority::kNormal;  // of its best pending work, as last told
    bool retired = false;
    bool again = false;  // mail came while it was running
    Priority again_priority = Priority::kLow;
    Instant waiting_since;
  };

  // A turn took so much: whose it should have been, by their shares.
  void divide(double core_seconds);
  // How many lanes are worth having now: executors of the best class with work, 1 .. lanes_max.
  int wanted_lanes(Instant now) const;
  // Puts `entry` into the class of `best`, with the lead or debt it has in its own.
  void join(Entry& entry, Priority best);

  const int cores_;
  const int lanes_max_;  // 1 .. cores
  TurnRules rules_;
  std::map<ExecutorId, Entry> entries_;
  std::array<double, kTimelines> times_{};  // of each class, see policy/turn.h
  LaneLayout layout_;
  std::uint64_t layout_changes_ = 0;
  struct Running {
    ExecutorId executor;
    int cores = 1;
  };
  std::vector<std::optional<Running>> lanes_;  // what each lane runs
  std::vector<ExecutorView> views_;            // reused
};

}  // namespace choir
