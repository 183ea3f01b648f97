// Which executors of a node are in memory, and what is promised to them: they are loaded, leave,
// change their size, and make room for each other.
//
// One load, unload or resize at a time. Any thread may call; what loads or unloads blocks for it,
// and is refused inside callbacks where the comment says so.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "choir/config.h"
#include "choir/load_estimate.h"
#include "choir/observer.h"
#include "choir/result.h"
#include "engine/engine.h"
#include "policy/admit.h"
#include "policy/residency.h"
#include "runtime/active_requests.h"
#include "runtime/alarms.h"
#include "runtime/executor.h"
#include "runtime/executor_table.h"
#include "runtime/kept_kv.h"
#include "runtime/lanes.h"
#include "runtime/leases.h"
#include "runtime/observing.h"

namespace choir {

class Residents {
 public:
  // The parts of the node that this works on; they outlive it.
  struct Parts {
    ExecutorTable& table;
    ActiveRequests& active;
    const KeptKv& kept;
    Lanes& lanes;
    Alarms& alarms;
    Leases& leases;
    Backend& backend;
    const Observing& observing;
    const Clock& clock;
  };
  struct Limits {
    ExecutorRules rules;  // of new executors
    std::uint64_t memory_bytes_max = 0;
  };
  Residents(const Parts& parts, const Limits& limits, Executor::Notify notify)
      : p_(parts), limits_(limits), notify_(std::move(notify)) {}

  // As in choir/node.h. `door`: kAway: no request comes in before it is opened.
  Status add(const ExecutorConfig& config, Activity::Door door = Activity::Door::kOpen);
  // A row without weights; the first request loads it.
  Status declare(const ExecutorConfig& config);
  Result<LoadEstimate> estimate(const ExecutorConfig& config) const;
  Status check_load(std::string_view name) const;
  // What it reads is told to `progress`, and it ends with kCancelled soon after that is false.
  Status load(std::string_view name, const LoadProgress& progress = {});
  // As ExecutorInfo::loading, of the load that has its turn.
  std::optional<double> loading(ExecutorId id) const;
  Status unload(std::string_view name);
  Status resize(std::string_view name, std::int32_t sequences_max, std::int32_t sequence_tokens_max,
                std::int32_t batch_tokens_max);
  // The executor of that name; one that is not in memory is loaded first, except inside a callback,
  // where that is refused.
  Result<std::shared_ptr<Executor>> find(std::string_view name);

  // Those that no tenant holds any more leave (policy/hold). Blocks for saving their KV state.
  void let_unheld_leave();

  // It leaves the node for good. Needs: its door is not open and nothing of it is active.
  void remove(const ExecutorRow& row);
  // Takes it from the lanes, for another node; its row and its bytes stay until moved(). Its door
  // is kAway then, and whatever is active in it comes along. Null: it was not in memory.
  // kOverloaded, and nothing has changed, where its config is not that of `row` any more.
  Result<std::shared_ptr<Executor>> take_out(const ExecutorRow& row);
  // It goes on after all, with what was taken out of it; its door stays as it is.
  void put_back(const std::shared_ptr<Executor>& executor, Executor::Belongings belongings);
  void moved(const ExecutorRow& row, const std::shared_ptr<Executor>& executor);

  std::uint64_t promised() const { return promised_.load(); }
  std::uint64_t memory_bytes_max() const { return limits_.memory_bytes_max; }

 private:
  static EngineConfig engine_config_of(const ExecutorConfig& config);
  ExecutorRow new_row(const ExecutorConfig& config);
  // make(), and tells the observer.
  Result<std::shared_ptr<Executor>> make_and_tell(const ExecutorRow& row,
                                                  const LoadProgress& progress);
  Result<std::shared_ptr<Executor>> make(const ExecutorRow& row, const LoadProgress& progress);
  // False: it is just moving to another node, and the name may mean nothing afterwards.
  Result<bool> load_row(const std::string& name, const LoadProgress& progress);
  Result<std::shared_ptr<Executor>> find_or_load(std::string_view name,
                                                 const LoadProgress& progress = {});
  Status unload_row(const ExecutorRow& row, ExecutorLeft::Why why);
  // Everything but the row and the bytes: the executor's turns and alarm.
  void take_from_lanes(Executor& executor);
  // What is promised to it alone. Under the lock of loads, as all that changes promises.
  std::uint64_t own_bytes(const Executor& executor) const;
  void give_back_bytes(const Executor& executor) { promised_ -= own_bytes(executor); }
  MemoryView memory_view() const;
  // Which executors would leave so that `missing` bytes come free for the executor `name` of the
  // file `path`.
  ResidencyPlan plan_room(const std::vector<ExecutorRow>& rows, const std::string& name,
                          const std::string& path, std::uint64_t missing) const;
  // True when an executor left.
  bool make_room(const std::string& name, const std::string& path, const ExecutorBytes& need);

  const Parts p_;
  const Limits limits_;
  const Executor::Notify notify_;
  std::atomic<std::uint64_t> next_executor_{1};
  std::atomic<std::uint64_t> promised_{0};
  struct LoadNow {
    ExecutorId id;
    double fraction = 0;
  };
  Guarded<std::optional<LoadNow>> load_now_;  // no other lock is taken under it
  Guarded<int> loading_{0};  // one load, unload or resize at a time; its value says nothing
};

}  // namespace choir
