// Decides which executor runs the next step: weighted fair queueing over measured compute seconds,
// inside strict priority classes, with ageing.
//
// Every class has its own virtual timeline. On a common one, an executor that its class had held
// back would come out of the wait with a credit as long as the wait, and use it against others of
// its class that are not to blame. Between classes only class and wait count.
//
// The caller keeps, for every timeline, its time: the greatest virtual_seconds with which a turn
// has begun on it (time = max(time, picked.virtual_seconds)). That is the `floor` for wake().
//
// Pure, as all of policy/. Idea: start-time fair queueing; Linux CFS (virtual runtime, sleepers).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "choir/ids.h"
#include "choir/turns.h"
#include "choir/units.h"

namespace choir {

struct TurnRules {
  // The head of a class that waited this long counts as one class better, twice this long as two.
  // 0: no ageing.
  Nanos age_step = std::chrono::milliseconds(500);
  // What a sleeper may have saved up, in virtual seconds, when it wakes.
  double credit_seconds_max = 0.1;
  // What it may still owe. A last turn of 50 ms on 4 cores with a tenth of a share costs 2 s; less
  // would forgive it, and an executor that naps after every turn would get more than its shares.
  double debt_seconds_max = 2.0;
  bool classes = true;  // false: one timeline, equal rights whatever the class
};

// A runnable executor that is not running.
struct ExecutorView {
  ExecutorId id;
  Priority priority = Priority::kNormal;  // of its most urgent pending work, before ageing
  double virtual_seconds = 0;             // see charge(); never NaN
  Instant waiting_since;                  // when it became runnable or ended its last turn
  bool operator==(const ExecutorView&) const = default;
};

// The class after ageing. Asked for every sequence in every step, hence here.
inline Priority aged(Priority priority, Nanos waited, Nanos age_step) {
  if (age_step <= Nanos{0} || waited < age_step) return priority;
  const auto steps = std::min<std::int64_t>(waited / age_step, static_cast<std::int64_t>(priority));
  return static_cast<Priority>(static_cast<std::int64_t>(priority) - steps);
}

// Which timeline counts for an executor of this class: 0 .. kTimelines - 1.
inline constexpr std::size_t kTimelines = kPriorityNames.size();
std::size_t timeline(Priority priority, const TurnRules& rules);

// The executor to run now; nullopt when `runnable` is empty. The head of a class is the one with
// the least virtual_seconds (then longest wait, then smallest id); among the heads goes the best
// aged class (then longest wait, then smallest id). So ageing lifts a class that others hold back,
// never one executor over a fair wait inside its own. The order of the input does not matter.
std::optional<ExecutorId> next_turn(std::span<const ExecutorView> runnable, Instant now,
                                    const TurnRules& rules);

// Why next_turn() has chosen `chosen`, which is one of `runnable`. For display.
TurnReason reason_of(std::span<const ExecutorView> runnable, ExecutorId chosen,
                     const TurnRules& rules);

// Virtual time after a turn that kept `cores` busy for `elapsed`: seconds x cores / shares. A turn
// costs at least 1 us, so a stream of empty turns does not run for free. cores >= 1, shares > 0.
double charge(double virtual_seconds, Nanos elapsed, int cores, double shares);

// Virtual time of an executor that joins a timeline whose time is `floor`: kept between
// floor - credit_seconds_max and floor + debt_seconds_max. For one that wakes; and for one whose
// class changes, with its lead carried over:
//   v = wake(v - time[old] + time[new], time[new], rules)
double wake(double virtual_seconds, double floor, const TurnRules& rules);

}  // namespace choir
