// Who is in memory: executors leave and come back, their bytes and their conversations' KV state
// with them.
#include <functional>

#include "base/log.h"
#include "policy/residency.h"
#include "runtime/runtime.h"

namespace choir {

// Where it does not fit, idle executors leave, if that is enough; else none does.
bool Runtime::make_room(const std::string& name, const std::string& path,
                        const ExecutorBytes& need) {
  const std::uint64_t missing = missing_bytes(need, memory_view());
  bool some_left = false;
  if (missing > 0) {
    const Instant now = clock_.now();
    const auto key_of = [](const Executor& executor) {
      return std::hash<std::string>()(executor.model().fingerprint());
    };
    std::uint64_t own_key = 0;  // of the file to be loaded, where it is open already
    const auto rows = table_.with([](const Table& t) { return t.by_name; });
    std::vector<ResidentView> residents;
    std::map<ExecutorId, const Row*> by_id;
    active_.with([&](const Active& a) {
      for (const auto& [other, row] : rows) {
        if (!row.executor || other == name) continue;
        if (row.config.path == path) own_key = key_of(*row.executor);
        const ExecutorBytes bytes = row.executor->bytes();
        const Activity& activity = a.by_executor.at(row.id);
        by_id.emplace(row.id, &row);
        residents.push_back({.id = row.id,
                             .last_used = activity.last_used,
                             .pinned = row.config.pinned,
                             .busy = activity.requests > 0 || activity.embeddings > 0 ||
                                     activity.door != Door::kOpen,
                             .reload_seconds = row.load_seconds,
                             .own_bytes = bytes.own(),
                             .weights_key = key_of(*row.executor),
                             .weight_bytes = bytes.weights});
      }
    });
    const ResidencyPlan plan = plan_residency(residents, missing, own_key, now);
    for (const ExecutorId id : plan.leave) {
      // One that was given work in this moment stays; admission will say what is missing then.
      if (const Status left = unload_row(*by_id.at(id), ExecutorLeft::Why::kEvicted); left) {
        some_left = true;
        log(LogLevel::kInfo,
            "executor '" + by_id.at(id)->config.name + "' left memory for '" + name + "'");
      }
    }
  }
  return some_left;
}

void Runtime::take_from_lanes(const std::shared_ptr<Executor>& executor) {
  lanes_.remove(executor->id());
  alarms_.set(executor->id(), std::nullopt);
  executor->close_jobs();
}

void Runtime::hand_over_kept(Executor& executor) {
  const Keeper keeper = keeper_.with([](const Keeper& k) { return k; });
  Executor::Belongings left = executor.extract();
  for (auto& [key, state] : left.kept)
    if (keeper) keeper(key, std::move(state));
}

// Weights count with the first executor of a file and go with the last. Not with what measure()
// said: a request that is just ending may keep the weights open for a moment, and nobody promised
// them.
std::uint64_t Runtime::own_bytes(const Executor& executor) const {
  const bool only_one = table_.with([&](const Table& t) {
    return std::ranges::none_of(t.by_name, [&](const auto& entry) {
      const auto& other = entry.second.executor;
      return other && other.get() != &executor && &other->model() == &executor.model();
    });
  });
  const ExecutorBytes bytes = executor.bytes();
  return bytes.own() + (only_one ? bytes.weights : 0);
}

void Runtime::give_back_bytes(const Executor& executor) { promised_ -= own_bytes(executor); }

Status Runtime::close_door(const Row& row, bool busy_too) {
  return active_.change([&](Active& a) -> Status {
    const auto found = a.by_executor.find(row.id);
    if (found == a.by_executor.end() || found->second.door != Door::kOpen)
      return fail(Code::kNotFound, "executor '" + row.config.name + "' is just leaving");
    const Activity& activity = found->second;
    if (!busy_too && activity.requests + activity.embeddings > 0)
      return fail(Code::kOverloaded, "executor '" + row.config.name + "' has " +
                                         std::to_string(activity.requests + activity.embeddings) +
                                         " active requests; cancel them or let them end first");
    found->second.door = Door::kAway;
    return {};
  });
}

void Runtime::open_door(ExecutorId id, Door door) {
  active_.change([&](Active& a) {
    if (const auto found = a.by_executor.find(id); found != a.by_executor.end())
      found->second.door = door;
  });
}

Status Runtime::unload(std::string_view name) {
  return loading_.with(
      [&](int&) -> Status { return unload_row(CHOIR_TRY(row(name)), ExecutorLeft::Why::kAsked); });
}

Status Runtime::unload_row(const Row& row, ExecutorLeft::Why why) {
  if (!row.executor) return {};
  CHOIR_CHECK_OK(close_door(row, false));
  const double seconds = lanes_.compute_seconds(row.id);
  take_from_lanes(row.executor);
  hand_over_kept(*row.executor);
  table_.with([&](Table& t) {
    Row& kept = t.by_name.at(row.config.name);
    kept.executor.reset();
    kept.compute_seconds += seconds;
  });
  give_back_bytes(*row.executor);
  tell_left(row.config.name, why);
  open_door(row.id, Door::kOpen);
  return {};
}

Status Runtime::load(std::string_view name) {
  CHOIR_TRY(find_or_load(name));
  return {};
}

void Runtime::wait_while_away(ExecutorId id) {
  active_.wait([&](const Active& a) {
    const auto found = a.by_executor.find(id);
    return a.closing || found == a.by_executor.end() || found->second.door != Door::kAway;
  });
}

Result<bool> Runtime::load_row(const std::string& name) {
  return loading_.with([&](int&) -> Result<bool> {
    const Row row = CHOIR_TRY(this->row(name));
    if (row.executor) return true;
    const auto [closing, door] = active_.with(
        [&](const Active& a) { return std::pair(a.closing, a.by_executor.at(row.id).door); });
    if (closing) return fail(Code::kCancelled, "the node is shutting down");
    if (door == Door::kAway) return false;
    const Instant began = clock_.now();
    const auto executor = CHOIR_TRY(make_executor(row));
    const double seconds = to_seconds(clock_.now() - began);
    const auto heed_suspend = [&] {
      active_.with([&](const Active& a) {
        if (a.by_executor.at(row.id).suspended)
          executor->suspend();
        else
          executor->resume();
      });
    };
    heed_suspend();
    lanes_.add(executor);
    const Priority priority = table_.with([&](Table& t) {
      Row& known = t.by_name.at(name);
      known.executor = executor;
      known.load_seconds = seconds;
      // What was asked of it meanwhile, when there was none to be told.
      if (known.config != row.config) {
        lanes_.set_shares(row.id, known.config.shares);
        (void)executor->post_job([config = known.config](Executor& e) { e.update(config); });
      }
      return known.config.priority;
    });
    heed_suspend();
    lanes_.ready(row.id, priority);
    return true;
  });
}

void Runtime::set_keeper(Keeper keeper) {
  keeper_.with([&](Keeper& k) { k = std::move(keeper); });
}

}  // namespace choir
