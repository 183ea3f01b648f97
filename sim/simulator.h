// A whole node in virtual time, on one thread: the real policies, schedule, executors and
// dispatcher over fake engines. A workload is made from a seed and replays exactly.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choir/units.h"

namespace choir::sim {

// What a run of one seed came to. `broken` lists every rule that was broken, with the seed's facts.
struct SimReport {
  std::vector<std::string> broken;
  std::uint64_t requests = 0;
  std::uint64_t finished = 0;  // by themselves: stop or length
  std::uint64_t cancelled = 0;
  std::uint64_t expired = 0;  // deadline
  std::uint64_t stalled = 0;
  std::uint64_t failed = 0;
  std::uint64_t steps = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t aborts = 0;
  std::uint64_t reused_tokens = 0;
  std::uint64_t migrated = 0;  // sequences resumed from their serialised value elsewhere
  std::uint64_t layout_changes = 0;
  Nanos longest_wait{0};  // of a runnable executor for its turn
  Nanos virtual_time{0};
};

struct SimOptions {
  std::uint32_t seed = 1;
  bool faults = false;  // passes that fail, and cells that are suddenly not there
  bool slow_readers = true;
  bool migrate = true;  // serialise live sequences now and then and finish copies elsewhere
};

// Checks after every event and at the end:
//   every request ends, once; nothing is left in an engine
//   an executor's running totals are what counting again gives
//   the tokens of a sequence are those it generates alone (all of them, or those until its end)
//   no two lanes share a core, and no core is used that is not there
//   every runnable executor gets a turn within a bound, whatever its class
//   a sequence serialised between two steps goes on elsewhere with the same tokens
SimReport simulate(const SimOptions& options);

// One line for a person.
std::string describe(const SimReport& report);

}  // namespace choir::sim
