// Room in memory: who leaves for whom, and what a load would take.
#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "base/log.h"
#include "choir/machine.h"
#include "runtime/admit_beside.h"
#include "runtime/residents.h"

namespace choir {
namespace {

std::uint64_t key_of(const Executor& executor) {
  return std::hash<std::string>()(executor.model().fingerprint());
}

}  // namespace

MemoryView Residents::memory_view() const {
  return {.limit = limits_.memory_bytes_max,
          .promised = promised_.load(),
          .free = std::min(limits_.memory_bytes_max, read_machine().memory_free())};
}

ResidencyPlan Residents::plan_room(const std::vector<ExecutorRow>& rows, const std::string& name,
                                   const std::string& path, std::uint64_t missing) const {
  std::uint64_t own_key = 0;  // of the file to be loaded, where it is open already
  const auto activities = p_.active.activities();
  std::vector<ResidentView> residents;
  for (const ExecutorRow& row : rows) {
    const auto activity = activities.find(row.id);
    if (!row.executor || row.config.name == name || activity == activities.end()) continue;
    if (row.config.path == path) own_key = key_of(*row.executor);
    const ExecutorBytes bytes = row.executor->bytes();
    residents.push_back(
        {.id = row.id,
         .last_used = activity->second.last_used,
         .pinned = row.config.pinned,
         .busy = !activity->second.unused() || activity->second.door != Activity::Door::kOpen,
         .reload_seconds = row.load_seconds,
         .own_bytes = bytes.own(),
         .weights_key = key_of(*row.executor),
         .weight_bytes = bytes.weights});
  }
  return plan_residency(residents, missing, own_key, p_.clock.now());
}

// Where it does not fit, idle executors leave, if that is enough; else none does.
bool Residents::make_room(const std::string& name, const std::string& path,
                          const ExecutorBytes& need) {
  const std::uint64_t missing = missing_bytes(need, memory_view());
  if (missing == 0) return false;
  const auto rows = p_.table.rows();
  std::map<ExecutorId, const ExecutorRow*> by_id;
  for (const ExecutorRow& row : rows) by_id.emplace(row.id, &row);
  const ResidencyPlan plan = plan_room(rows, name, path, missing);
  bool some_left = false;
  for (const ExecutorId id : plan.leave) {
    // One that was given work in this moment stays; admission will say what is missing then.
    if (const Status left = unload_row(*by_id.at(id), ExecutorLeft::Why::kEvicted); !left) continue;
    some_left = true;
    log(LogLevel::kInfo,
        "executor '" + by_id.at(id)->config.name + "' left memory for '" + name + "'");
  }
  return some_left;
}

// Without the lock of loads: it does not wait for them.
Result<LoadEstimate> Residents::estimate(const ExecutorConfig& config) const {
  auto measured = p_.backend.measure(config.path, engine_config_of(config));
  if (!measured) return tl::unexpected(std::move(measured).error().in("'" + config.name + "'"));
  ExecutorBytes need = *measured;
  const auto rows = p_.table.rows();
  const bool resize = std::ranges::any_of(
      rows, [&](const ExecutorRow& row) { return row.executor && row.config.name == config.name; });
  if (resize) need.weights = 0;
  const MemoryView memory = memory_view();
  LoadEstimate estimate = {.need = {need.weights, need.kv, need.compute + need.logits},
                           .limit = memory.limit,
                           .promised = memory.promised,
                           .free = memory.free,
                           .missing = missing_bytes(need, memory)};
  const ResidencyPlan plan = plan_room(rows, config.name, config.path, estimate.missing);
  estimate.fits = plan.enough;
  for (const ExecutorId id : plan.leave)
    for (const ExecutorRow& row : rows)
      if (row.id == id) estimate.leave.push_back(row.config.name);
  if (estimate.fits) return estimate;
  const Status admitted = resize ? admit_resize(rows, config.name, need, memory)
                                 : admit_beside(rows, config.name, need, memory);
  if (!admitted) estimate.refusal = admitted.error().message;
  return estimate;
}

// As estimate(). The errors are those of make().
Status Residents::check_load(std::string_view name) const {
  const ExecutorRow row = CHOIR_TRY(p_.table.row(name));
  if (row.executor) return {};
  const ExecutorConfig& config = row.config;
  const EngineConfig engine_config = engine_config_of(config);
  const auto in = [&](Error error) {
    return tl::unexpected(std::move(error).in("executor '" + config.name + "'"));
  };
  const auto tried = p_.backend.was_tried(config.path, engine_config);
  if (!tried) return in(tried.error());
  if (!*tried) return {};
  const auto need = p_.backend.measure(config.path, engine_config);
  if (!need) return in(need.error());
  const auto rows = p_.table.rows();
  const std::uint64_t missing = missing_bytes(*need, memory_view());
  if (plan_room(rows, config.name, config.path, missing).enough) return {};
  return admit_beside(rows, config.name, *need, memory_view());
}

}  // namespace choir
