// Whole nodes in virtual time, on one thread: the product's Runtime with its lanes' schedule,
// executors, alarms and dispatcher over fake engines, and everything that callers may do to them. A
// workload is made from a seed and replays exactly.
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
  std::uint64_t refused = 0;
  std::uint64_t steps = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t aborts = 0;
  std::uint64_t reused_tokens = 0;
  std::uint64_t resumed = 0;  // sequences that go on elsewhere from their serialised value
  std::uint64_t layout_changes = 0;
  // Changes that were carried out, and requests that were active in the executor then.
  std::uint64_t migrations = 0;
  std::uint64_t requests_moved = 0;
  std::uint64_t unloads = 0;
  std::uint64_t removals = 0;
  std::uint64_t nodes_ended = 0;
  std::uint64_t holds = 0;
  std::uint64_t unheld = 0;     // executors that left because no tenant held them any more
  std::uint64_t forgotten = 0;  // conversations whose KV state was there
  std::uint64_t others = 0;     // suspend, resize, spread
  // Requests that were enqueued, and those of them whose executor was not in memory then.
  std::uint64_t enqueued = 0;
  std::uint64_t waited_for_load = 0;
  std::uint64_t loads = 0;  // begun in the background
  std::uint64_t loads_failed = 0;
  std::uint64_t loads_given_up = 0;
  Nanos longest_wait{0};  // of a runnable executor for its turn
  Nanos virtual_time{0};
};

enum class SimKind : std::uint8_t {
  kRandom,
  kTenants,  // one executor, and tenants that always want more than there is
};

struct SimOptions {
  std::uint32_t seed = 1;
  SimKind kind = SimKind::kRandom;
  bool faults = false;  // passes that fail, and cells that are suddenly not there
  bool slow_readers = true;
  bool changes = true;  // executors move, leave and come back; nodes end
};

// Checks after every event and at the end:
//   every request ends, once, and its callback, its future and the node agree
//   the tokens of a request are those it generates alone (all of them, or those until its end),
//   wherever it was meanwhile
//   an executor's running totals are what counting again gives; nothing is left in an engine
//   no two lanes share a core, and no core is used that is not there
//   every runnable executor gets a turn within a bound, whatever its class
//   a sequence serialised between two turns goes on elsewhere with the same tokens
//   of tenants that always want more, none is further ahead than a few requests
//   a request that waits for a change waits for something that will happen
//   enqueue() lets nothing happen: no time passes in it, nothing is loaded
//   an executor is loaded once for all that wait for it, and only while it is not in memory
SimReport simulate(const SimOptions& options);

// One line for a person.
std::string describe(const SimReport& report);

}  // namespace choir::sim
