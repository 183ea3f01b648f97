#include "runtime/residents.h"

#include <algorithm>

#include "base/log.h"
#include "base/scope_end.h"
#include "policy/hold.h"
#include "runtime/admit_beside.h"
#include "runtime/caught_engine.h"
#include "runtime/config_parts.h"
#include "runtime/dispatcher.h"
#include "runtime/in_turn.h"
#include "runtime/warm_up.h"

namespace choir {

namespace {

tl::unexpected<Error> exists_already(const std::string& name) {
  return fail(Code::kAlreadyExists, "there is an executor named '" + name + "' already");
}

}  // namespace

EngineConfig Residents::engine_config_of(const ExecutorConfig& config) {
  return {.context_tokens = config.context_tokens,
          .sequences_max = config.sequences_max,
          .batch_tokens_max = std::min(config.batch_tokens_max, config.context_tokens),
          .kv_type = config.kv_type};
}

Status Residents::add(const ExecutorConfig& config, Activity::Door door) {
  return loading_.with([&](int&) -> Status {
    if (p_.table.contains(config.name)) return exists_already(config.name);
    CHOIR_CHECK_OK(p_.active.not_draining());
    CHOIR_CHECK_OK(p_.active.not_closing());
    ExecutorRow row = new_row(config);
    const Instant began = p_.clock.now();
    row.executor = CHOIR_TRY(make_and_tell(row, {}));
    row.load_seconds = to_seconds(p_.clock.now() - began);
    row.model = row.executor->model().info();
    const ExecutorId id = row.id;
    const std::shared_ptr<Executor> executor = row.executor;
    p_.active.open(id, door);
    p_.lanes.add(executor);
    if (p_.table.insert(std::move(row))) return {};
    // One of that name was declared meanwhile.
    take_from_lanes(*executor);
    p_.active.forget(id);
    give_back_bytes(*executor);
    return exists_already(config.name);
  });
}

ExecutorRow Residents::new_row(const ExecutorConfig& config) {
  ExecutorRow row;
  row.id = {next_executor_++};
  row.config = config;
  row.stats = std::make_shared<ExecutorStats>();
  return row;
}

// Without the lock of loads: it does not wait for them.
Status Residents::declare(const ExecutorConfig& config) {
  CHOIR_CHECK_OK(p_.active.not_draining());
  CHOIR_CHECK_OK(p_.active.not_closing());
  ExecutorRow row = new_row(config);
  const ExecutorId id = row.id;
  p_.active.open(id);
  if (p_.table.insert(std::move(row))) return {};
  p_.active.forget(id);
  return exists_already(config.name);
}

Result<std::shared_ptr<Executor>> Residents::make_and_tell(const ExecutorRow& row,
                                                           const LoadProgress& progress) {
  const Instant began = p_.clock.now();
  auto made = make(row, progress);
  p_.observing.loaded(row.config.name, to_seconds(p_.clock.now() - began),
                      made ? nullptr : &made.error());
  return made;
}

Result<std::shared_ptr<Executor>> Residents::make(const ExecutorRow& row,
                                                  const LoadProgress& progress) {
  const ExecutorConfig& config = row.config;
  const EngineConfig engine_config = engine_config_of(config);
  const auto in = [&](Error error) {
    return tl::unexpected(std::move(error).in("executor '" + config.name + "'"));
  };
  auto need = p_.backend.measure(config.path, engine_config);
  if (!need) return in(need.error());
  if (make_room(config.name, config.path, *need)) {
    // Weights that would have been shared may have left with the last executor of that file.
    need = p_.backend.measure(config.path, engine_config);
    if (!need) return in(need.error());
  }
  CHOIR_CHECK_OK(admit_beside(p_.table.rows(), config.name, *need, memory_view()));
  auto model = p_.backend.load(config.path, progress);
  if (!model) return in(model.error());
  auto engine = p_.backend.create_engine(*model, engine_config);
  if (!engine) return in(engine.error());
  if (Status warm = warm_up(p_.backend, **model, **engine, p_.clock); !warm)
    return in(warm.error());
  auto executor = std::make_shared<Executor>(row.id, config, std::move(*model),
                                             caught_engine(std::move(*engine)), limits_.rules,
                                             p_.clock, notify_, row.stats);
  promised_ += own_bytes(*executor);
  return executor;
}

// A load takes seconds, and a callback that waits for one holds up those of other requests.
Result<std::shared_ptr<Executor>> Residents::find(std::string_view name) {
  if (!Dispatcher::on_dispatcher_thread()) return find_or_load(name);
  const ExecutorRow known = CHOIR_TRY(p_.table.row(name));
  if (known.executor) return known.executor;
  return fail(Code::kInvalidArgument,
              "executor '" + known.config.name +
                  "' is not in memory, and loading it inside a callback would hold up all others; "
                  "load() it or submit() on another thread, or keep it with `pinned`");
}

Result<std::shared_ptr<Executor>> Residents::find_or_load(std::string_view name,
                                                          const LoadProgress& progress) {
  for (;;) {
    if (auto executor = p_.table.loaded(name)) return executor;
    const ExecutorRow known = CHOIR_TRY(p_.table.row(name));
    if (known.executor) return known.executor;
    if (!CHOIR_TRY(load_row(known.config.name, progress))) p_.active.wait_while_away(known.id);
  }
}

Status Residents::load(std::string_view name, const LoadProgress& progress) {
  CHOIR_TRY(find_or_load(name, progress));
  return {};
}

std::optional<double> Residents::loading(ExecutorId id) const {
  return load_now_.with([&](const std::optional<LoadNow>& now) -> std::optional<double> {
    if (!now || now->id != id) return std::nullopt;
    return now->fraction;
  });
}

Result<bool> Residents::load_row(const std::string& name, const LoadProgress& progress) {
  return loading_.with([&](int&) -> Result<bool> {
    const ExecutorRow row = CHOIR_TRY(p_.table.row(name));
    if (row.executor) return true;
    // What was accepted before is still carried out.
    if (!p_.active.has_arrivals(row.id)) CHOIR_CHECK_OK(p_.active.not_closing());
    const auto activity = p_.active.activity(row.id);
    if (!activity || activity->door == Activity::Door::kAway) return false;
    const Instant began = p_.clock.now();
    const auto show = [&](std::optional<LoadNow> now) {
      load_now_.with([&](auto& shown) { shown = now; });
      limits_.rules.node->shown.count();
    };
    const ScopeEnd shown([&] { show(std::nullopt); });
    show(LoadNow{row.id});
    const auto executor = CHOIR_TRY(make_and_tell(row, [&](float fraction) {
      show(LoadNow{row.id, fraction});
      return !progress || progress(fraction);
    }));
    const double seconds = to_seconds(p_.clock.now() - began);
    p_.active.touch(row.id);
    // With requests that wait for it, it leaves after them.
    if (const auto now = p_.active.activity(row.id); now && now->unused())
      p_.leases.begin_anew(row.id);
    p_.active.heed_suspend(*executor);
    p_.lanes.add(executor);
    const Priority priority = p_.table.change(name, [&](ExecutorRow& known) {
      known.executor = executor;
      known.model = executor->model().info();
      known.load_seconds = seconds;
      // What was asked of it meanwhile, when there was none to be told.
      if (known.config != row.config) {
        p_.lanes.set_shares(row.id, known.config.shares);
        (void)executor->post_job([config = known.config](Executor& e) { e.update(config); });
      }
      return known.config.priority;
    });
    p_.active.heed_suspend(*executor);
    p_.lanes.ready(row.id, priority);
    return true;
  });
}

Status Residents::unload(std::string_view name) {
  return loading_.with([&](int&) -> Status {
    return unload_row(CHOIR_TRY(p_.table.row(name)), ExecutorLeft::Why::kAsked);
  });
}

Status Residents::unload_row(const ExecutorRow& row, ExecutorLeft::Why why) {
  if (!row.executor) return {};
  CHOIR_CHECK_OK(why == ExecutorLeft::Why::kAsked ? p_.active.close_door(row, false)
                                                  : p_.active.close_door_of_unused(row));
  const Schedule::CoreSeconds seconds = p_.lanes.core_seconds(row.id);
  take_from_lanes(*row.executor);
  p_.kept.hand_over(*row.executor);
  p_.table.change(row.config.name, [&](ExecutorRow& known) {
    known.executor.reset();
    known.compute_seconds += seconds.had;
    known.due_seconds += seconds.due;
    return true;
  });
  give_back_bytes(*row.executor);
  p_.observing.left(row.config.name, why);
  p_.leases.begin_anew(row.id);
  p_.active.open_door(row.id);
  return {};
}

void Residents::take_from_lanes(Executor& executor) {
  p_.lanes.remove(executor.id());
  p_.alarms.set(executor.id(), std::nullopt);
  executor.close_jobs();
}

void Residents::remove(const ExecutorRow& row) {
  loading_.with([&](int&) {
    const std::shared_ptr<Executor> executor = p_.table.loaded(row.id);
    p_.table.erase(row);
    if (executor) {
      take_from_lanes(*executor);
      p_.kept.hand_over(*executor);
      give_back_bytes(*executor);
      p_.observing.left(row.config.name, ExecutorLeft::Why::kRemoved);
    }
    p_.active.forget(row.id);
    p_.leases.forget(row.id);
    return 0;
  });
}

// Under the lock of loads: one that is under way is either done, or will find the door closed.
Result<std::shared_ptr<Executor>> Residents::take_out(const ExecutorRow& row) {
  auto taken = loading_.with([&](int&) -> Result<std::shared_ptr<Executor>> {
    CHOIR_CHECK_OK(p_.active.close_door(row, true));
    const ExecutorRow now = CHOIR_TRY(p_.table.row(row.config.name));
    if (now.config != row.config) {
      p_.active.open_door(row.id);
      return fail(Code::kOverloaded,
                  "executor '" + row.config.name + "' was just changed; call again");
    }
    p_.lanes.retire(now.id);
    return now.executor;
  });
  if (!taken || !*taken) return taken;
  const Schedule::CoreSeconds seconds = p_.lanes.core_seconds(row.id);
  take_from_lanes(**taken);
  p_.table.change(row.config.name, [&](ExecutorRow& known) {
    known.compute_seconds += seconds.had;
    known.due_seconds += seconds.due;
    return true;
  });
  return taken;
}

void Residents::put_back(const std::shared_ptr<Executor>& executor,
                         Executor::Belongings belongings) {
  executor->adopt(std::move(belongings));
  executor->open_jobs();
  p_.lanes.add(executor);
}

void Residents::moved(const ExecutorRow& row, const std::shared_ptr<Executor>& executor) {
  loading_.with([&](int&) {
    p_.table.erase(row);
    if (executor) {
      give_back_bytes(*executor);
      p_.observing.left(row.config.name, ExecutorLeft::Why::kMoved);
    }
    p_.active.forget(row.id);
    return 0;
  });
}

// Weights count with the first executor of a file and go with the last. Not with what measure()
// said: a request that is just ending may keep the weights open for a moment, and they were not
// promised.
std::uint64_t Residents::own_bytes(const Executor& executor) const {
  const auto rows = p_.table.rows();
  const bool only_one = std::ranges::none_of(rows, [&](const ExecutorRow& row) {
    return row.executor && row.executor.get() != &executor &&
           &row.executor->model() == &executor.model();
  });
  const ExecutorBytes bytes = executor.bytes();
  return bytes.own() + (only_one ? bytes.weights : 0);
}

void Residents::let_unheld_leave() {
  loading_.with([&](int&) {
    const std::map<ExecutorId, Hold> holds = p_.leases.begin_look();
    if (!p_.active.not_closing()) return 0;  // with the node
    const auto activities = p_.active.activities();
    std::vector<HoldView> views;
    std::map<ExecutorId, ExecutorRow> by_id;
    for (const ExecutorRow& row : p_.table.rows()) {
      const auto hold = holds.find(row.id);
      const auto found = activities.find(row.id);
      if (hold == holds.end() || found == activities.end()) continue;
      const Activity& activity = found->second;
      // Nor does any request wait for it: what was let go then does not matter later.
      if (!row.executor && activity.unused()) p_.leases.begin_anew(row.id);
      by_id.emplace(row.id, row);
      views.push_back({.id = row.id,
                       .hold = hold->second,
                       .in_memory = row.executor != nullptr,
                       .pinned = row.config.pinned,
                       .busy = !activity.unused() || activity.door != Activity::Door::kOpen,
                       .last_used = activity.last_used});
    }
    const HoldPlan plan = plan_holds(views, p_.clock.now());
    if (plan.again) p_.leases.look_at(*plan.again);
    for (const ExecutorId id : plan.leave) {
      // One that was given work in this moment stays until that has ended, and is asked for then.
      const ExecutorRow& row = by_id.at(id);
      if (!unload_row(row, ExecutorLeft::Why::kUnheld)) continue;
      log(LogLevel::kInfo, "executor '" + row.config.name + "' left memory: nobody holds it");
    }
    return 0;
  });
}

Status Residents::resize(std::string_view name, std::int32_t sequences_max,
                         std::int32_t sequence_tokens_max, std::int32_t batch_tokens_max) {
  return loading_.with([&](int&) -> Status {
    const ExecutorRow known = CHOIR_TRY(p_.table.row(name));
    ExecutorConfig config = known.config;
    const auto activity = p_.active.activity(known.id);
    if (!activity || activity->door != Activity::Door::kOpen)
      return fail(Code::kNotFound, "executor '" + config.name + "' is just leaving");
    CHOIR_CHECK_OK(change_sizes(config, known.model.context_tokens_trained, sequences_max,
                                sequence_tokens_max, batch_tokens_max));
    const auto store = [&] {
      p_.table.change(config.name, [&](ExecutorRow& row) {
        take_sizes(row.config, config);
        return true;
      });
    };
    if (!known.executor) {
      store();
      return {};
    }
    const EngineConfig engine_config = engine_config_of(config);
    // The old memory stays until everything has moved: both must fit beside each other.
    ExecutorBytes need = CHOIR_TRY(p_.backend.measure(config.path, engine_config));
    need.weights = 0;
    make_room(config.name, config.path, need);
    CHOIR_CHECK_OK(admit_resize(p_.table.rows(), config.name, need, memory_view()));
    auto engine =
        CHOIR_TRY(p_.backend.create_engine(known.executor->shared_model(), engine_config));
    CHOIR_CHECK_OK(warm_up(p_.backend, known.executor->model(), *engine, p_.clock));
    engine = caught_engine(std::move(engine));
    const ExecutorBytes fresh = engine->sizes();
    const ExecutorBytes old = known.executor->bytes();
    promised_ += fresh.own();
    const auto swapped = in_turn(p_.lanes, *known.executor, [&](Executor& e) -> Status {
      return e.swap_engine(engine, config);
    });
    const bool done = swapped && *swapped;
    const ExecutorBytes& gone = done ? old : fresh;
    engine.reset();
    promised_ -= gone.own();
    if (!swapped) return tl::unexpected(swapped.error());
    if (done) store();
    return *swapped;
  });
}

}  // namespace choir
