#include "runtime/runtime.h"

#include <algorithm>
#include <array>
#include <limits>
#include <system_error>

#include "base/log.h"
#include "choir/text.h"
#include "runtime/warm_up.h"

namespace choir {
namespace {

// Pinned where all cores are ours to use: left to the kernel, the two threads of a lane were at
// times put on one core and waited for each other there (measured: p99 of the first token 4.9 s
// instead of 0.27 s on an idle machine). A node that takes only some leaves their choice to the
// kernel, so that two such nodes do not sit on the same ones.
std::vector<int> lane_cpus(const NodeConfig& config, const Machine& machine) {
  const int cores = config.cores > 0 ? std::min(config.cores, machine.cores) : machine.cores;
  if (cores == static_cast<int>(machine.cpus_allowed.size())) return machine.cpus_allowed;
  return std::vector<int>(static_cast<std::size_t>(cores), -1);
}

std::uint64_t memory_limit(const NodeConfig& config, const Machine& machine) {
  return config.memory_bytes_max > 0 ? config.memory_bytes_max : machine.memory_free() / 10 * 9;
}

}  // namespace

EngineConfig Runtime::engine_config_of(const ExecutorConfig& config) {
  return {.context_tokens = config.context_tokens,
          .sequences_max = config.sequences_max,
          .batch_tokens_max = std::min(config.batch_tokens_max, config.context_tokens),
          .kv_type = config.kv_type};
}

Result<std::shared_ptr<Runtime>> Runtime::create(const NodeConfig& config, const Machine& machine,
                                                 std::unique_ptr<Backend> backend) {
  CHOIR_CHECK_OK(validate(config));
  if (config.cores > machine.cores)
    log(LogLevel::kWarn, "cores is " + std::to_string(config.cores) + ", this process may use " +
                             std::to_string(machine.cores) + ": taking those");
  if (config.lanes_max > machine.cores)
    log(LogLevel::kWarn, "lanes_max is " + std::to_string(config.lanes_max) +
                             ", a lane has one core at least, and this process may use " +
                             std::to_string(machine.cores) + ": taking that");
  if (process_exits()) return fail(Code::kCancelled, "the process is ending");
  auto runtime = std::shared_ptr<Runtime>(new Runtime(config, machine, std::move(backend), nullptr),
                                          delete_where_it_may_join<Runtime>);
  CHOIR_CHECK_OK(runtime->set_policy(config.policy));
  try {
    runtime->dispatcher_.start(config.dispatchers);
    runtime->alarms_.start();
    runtime->lanes_.start();
  } catch (const std::system_error& error) {
    return fail(Code::kOverloaded, std::string("no threads for a node: ") + error.what());
  }
  runtime->at_exit_.emplace(
      ExitEntry::Turn::kFirst,
      ExitEntry::Calls{.ask = [node = runtime.get()] { node->ask_to_stop(); },
                       .wait = [node = runtime.get()](Instant end) { node->stop_until(end); }});
  return runtime;
}

std::shared_ptr<Runtime> Runtime::create_by_hand(const NodeConfig& config, const Machine& machine,
                                                 std::unique_ptr<Backend> backend,
                                                 const Clock& clock) {
  std::shared_ptr<Runtime> runtime(new Runtime(config, machine, std::move(backend), &clock));
  (void)runtime->set_policy(config.policy);
  return runtime;
}

Runtime::Runtime(const NodeConfig& config, const Machine& machine, std::unique_ptr<Backend> backend,
                 const Clock* clock)
    : config_(config),
      clock_(clock != nullptr ? *clock : steady_),
      backend_(std::move(backend)),
      memory_bytes_max_(memory_limit(config, machine)),
      // An alarm goes first: what it ends costs no compute.
      alarms_(clock_, [this](ExecutorId id) { lanes_.ready(id, Priority::kCritical); }),
      lanes_(lane_cpus(config, machine), config.lanes_max, {.age_step = config.age_step}, clock_,
             *backend_, [this](ExecutorId id, std::optional<Instant> at) { alarms_.set(id, at); }) {
}

Runtime::~Runtime() {
  shutdown(Drain::kCancel);
  lanes_.stop();
  alarms_.stop();
  dispatcher_.stop();
  link()->close();  // dispatchers of other nodes tell ends of requests that came from there
  // Where nobody could wait for the ends of requests they end with the node.
  active_.with([&](Active& a) {
    for (const auto& [id, state] : a.requests) directory_->leave(id);
  });
  at_exit_.reset();
}

void Runtime::ask_to_stop() {
  active_.change([](Active& a) { a.closing = true; });
  cancel_all(std::nullopt);
}

// Where a callback has called exit() its request does not end, and nobody is told of the others.
void Runtime::stop_until(Instant end) {
  if (!Dispatcher::on_dispatcher_thread())
    active_.wait_until(clock_, clock_.now() + (end - clock_.now()) / 4 * 3,
                       [](const Active& a) { return a.requests.empty(); });
  dispatcher_.stop_until(clock_, end);
  lanes_.stop_until(end);
  alarms_.stop_until(end);
}

MemoryView Runtime::memory_view() const {
  return {.limit = memory_bytes_max_,
          .promised = promised_.load(),
          .free = std::min(memory_bytes_max_, read_machine().memory_free())};
}

void Runtime::drained(const RequestState& request) {
  if (!request.held_back.load()) return;
  const auto executor = by_id(request.executor());
  if (!executor) return;
  executor->look_at(request.id);
  lanes_.ready(executor->id(), Priority::kNormal);
}

void Runtime::ended(const RequestState& request, const Completion& completion) {
  tell_ended(request, completion);
  strike(request);
}

Status Runtime::add(const ExecutorConfig& config, const Counted& counted) {
  CHOIR_CHECK_OK(validate(config));
  CHOIR_CHECK_OK(refuse_inside_callback("add()", "another thread"));
  watch_exit();
  return loading_.with([&](int&) -> Status {
    if (table_.with([&](const Table& t) { return t.by_name.contains(config.name); }))
      return fail(Code::kAlreadyExists,
                  "an executor named '" + config.name + "' is running already");
    CHOIR_CHECK_OK(door_is_open());
    if (active_.with([](const Active& a) { return a.closing; }))
      return fail(Code::kCancelled, "the node is shutting down");
    Row row{.id = {next_executor_++},
            .config = config,
            .model = {},
            .stats = counted.stats,
            .executor = nullptr,
            .compute_seconds = counted.compute_seconds};
    const Instant began = clock_.now();
    const std::shared_ptr<Executor> executor = CHOIR_TRY(make_executor(row));
    row.load_seconds = to_seconds(clock_.now() - began);
    row.model = executor->model().info();
    row.executor = executor;
    lanes_.add(executor);
    active_.with([&](Active& a) { a.by_executor[row.id].last_used = clock_.now(); });
    table_.with([&](Table& t) {
      t.names.emplace(row.id, config.name);
      t.by_name.emplace(config.name, std::move(row));
    });
    return {};
  });
}

Result<std::shared_ptr<Executor>> Runtime::make_it(const Row& row) {
  const ExecutorConfig& config = row.config;
  const EngineConfig engine_config = engine_config_of(config);
  const auto in = [&](Error error) {
    return tl::unexpected(std::move(error).in("executor '" + config.name + "'"));
  };
  auto need = backend_->measure(config.path, engine_config);
  if (!need) return in(need.error());
  if (make_room(config.name, config.path, *need)) {
    // Weights that would have been shared may have left with the last executor of that file.
    need = backend_->measure(config.path, engine_config);
    if (!need) return in(need.error());
  }
  CHOIR_CHECK_OK(admit(config.name, *need, memory_view()));
  auto model = backend_->load(config.path);
  if (!model) return in(model.error());
  auto engine = backend_->create_engine(*model, engine_config);
  if (!engine) return in(engine.error());
  if (Status warm = warm_up(*backend_, **model, **engine, clock_); !warm) return in(warm.error());
  const ExecutorRules rules{.age_step = config_.age_step,
                            .stalled = config_.stalled,
                            .stream_bytes_max = config_.stream_bytes_max,
                            .mailbox_max = static_cast<std::size_t>(config_.queue_max),
                            .adapt_threads = config_.adapt_threads,
                            .node = rules_,
                            .observing = observing_.on() ? &observing_ : nullptr};
  auto executor = std::make_shared<Executor>(
      row.id, config, std::move(*model), std::move(*engine), rules, clock_,
      [this](std::shared_ptr<RequestState> request) { dispatcher_.notify(std::move(request)); },
      row.stats);
  promised_ += own_bytes(*executor);
  return executor;
}

Status Runtime::remove(std::string_view name, Drain drain) {
  CHOIR_CHECK_OK(refuse_inside_callback("remove()", "another thread"));
  const Row row = CHOIR_TRY(this->row(name));
  // Under the lock that counts requests: from here on none can come in, however early its caller
  // has found the executor.
  const bool ours = active_
                        .wait([&](Active& a) -> std::optional<bool> {
                          const auto found = a.by_executor.find(row.id);
                          if (found == a.by_executor.end() || found->second.door == Door::kShut)
                            return false;
                          if (found->second.door == Door::kAway) return std::nullopt;
                          found->second.door = Door::kShut;
                          if (drain == Drain::kCancel) {
                            // It need not compute for those that are about to be cancelled.
                            found->second.suspended = true;
                            if (const auto executor = loaded(row.config.name)) executor->suspend();
                          }
                          return true;
                        })
                        .value();
  if (!ours)
    return fail(Code::kNotFound, "executor '" + std::string(name) + "' is being removed already");
  if (drain == Drain::kCancel)
    cancel_all(row.id);
  else
    (void)resume(name);  // nobody suspends it any more
  active_.wait([&](Active& a) {
    const Activity& activity = a.by_executor[row.id];
    return activity.requests == 0 && activity.embeddings == 0;
  });
  loading_.with([&](int&) {
    const std::shared_ptr<Executor> executor = loaded(name);
    table_.with([&](Table& t) {
      t.by_name.erase(row.config.name);
      t.names.erase(row.id);
    });
    if (executor) {
      take_from_lanes(executor);
      hand_over_kept(*executor);
      give_back_bytes(*executor);
      tell_left(row.config.name, ExecutorLeft::Why::kRemoved);
    }
    active_.change([&](Active& a) { a.by_executor.erase(row.id); });
    return 0;
  });
  return {};
}

Result<Runtime::Row> Runtime::row(std::string_view name) const {
  return table_.with([&](const Table& t) -> Result<Row> {
    if (name.empty()) {
      if (t.by_name.size() == 1) return t.by_name.begin()->second;
      return fail(Code::kInvalidArgument, "no executor is named, and the node has " +
                                              std::to_string(t.by_name.size()) + " of them");
    }
    if (const auto found = t.by_name.find(name); found != t.by_name.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [other, row] : t.by_name) known.push_back(other);
    std::string message = "no executor is named '" + std::string(name) + "'";
    if (const auto close = nearest(name, known)) message += "; the nearest is '" + *close + "'";
    return fail(Code::kNotFound, message);
  });
}

// A load takes seconds, and a callback that waits for one holds up those of other requests.
Result<std::shared_ptr<Executor>> Runtime::find(std::string_view name) {
  if (!Dispatcher::on_dispatcher_thread()) return find_or_load(name);
  const Row known = CHOIR_TRY(row(name));
  if (known.executor) return known.executor;
  return fail(Code::kInvalidArgument,
              "executor '" + known.config.name +
                  "' is not in memory, and loading it inside a callback would hold up all others; "
                  "load() it or submit() on another thread, or keep it with `pinned`");
}

Result<std::shared_ptr<Executor>> Runtime::find_or_load(std::string_view name) {
  for (;;) {
    if (auto executor = loaded(name)) return executor;
    const Row known = CHOIR_TRY(row(name));
    if (known.executor) return known.executor;
    if (!CHOIR_TRY(load_row(known.config.name))) wait_while_away(known.id);
  }
}

std::shared_ptr<Executor> Runtime::loaded(std::string_view name) const {
  return table_.with([&](const Table& t) {
    const auto found = t.by_name.find(name);
    return found == t.by_name.end() ? nullptr : found->second.executor;
  });
}

std::shared_ptr<Executor> Runtime::by_id(ExecutorId id) const {
  return table_.with([&](const Table& t) {
    const auto found = t.names.find(id);
    return found == t.names.end() ? nullptr : t.by_name.at(found->second).executor;
  });
}

ExecutorInfo Runtime::describe(const Row& row) const {
  const ExecutorStats& stats = *row.stats;
  ExecutorInfo info{.config = row.config,
                    .model = row.model,
                    .memory = {},
                    .running = stats.running.load(),
                    .waiting = stats.waiting.load(),
                    .steps = stats.steps.load(),
                    .prompt_tokens = stats.prompt_tokens.load(),
                    .output_tokens = stats.output_tokens.load(),
                    .requests_done = stats.requests_done.load(),
                    .requests_failed = stats.requests_failed.load(),
                    .preemptions = stats.preemptions.load(),
                    .reused_tokens = stats.reused_tokens.load(),
                    .loaded = row.executor != nullptr,
                    .load_seconds = row.load_seconds,
                    .seconds_per_prompt_token = stats.seconds_per_prompt_token.load(),
                    .seconds_per_output_token = stats.seconds_per_output_token.load(),
                    .compute_seconds = row.compute_seconds};
  if (row.executor) {
    const ExecutorBytes bytes = row.executor->bytes();
    info.memory = {bytes.weights, bytes.kv, bytes.compute + bytes.logits};
    info.kept = row.executor->kept().count();
    info.cells = stats.cells.load();
    info.cached_cells = stats.cached_cells.load();
    info.threads = stats.threads.load();
    info.compute_seconds += lanes_.compute_seconds(row.id);
  }
  active_.with([&](const Active& a) {
    const auto found = a.by_executor.find(row.id);
    if (found == a.by_executor.end()) return;
    const Activity& activity = found->second;
    info.suspended = activity.suspended;
    info.active = activity.requests + activity.embeddings;
    if (info.active == 0) info.idle_seconds = to_seconds(clock_.now() - activity.last_used);
  });
  return info;
}

std::vector<ExecutorInfo> Runtime::executors() const {
  const auto rows = table_.with([](const Table& t) { return t.by_name; });
  std::vector<ExecutorInfo> infos;
  infos.reserve(rows.size());
  for (const auto& [name, row] : rows) infos.push_back(describe(row));
  return infos;
}

Result<ExecutorInfo> Runtime::executor(std::string_view name) const {
  return describe(CHOIR_TRY(row(name)));
}

NodeInfo Runtime::info() const {
  NodeInfo info;
  info.lanes = lanes_.layout().threads;
  for (const std::int32_t threads : info.lanes) info.cores += threads;
  info.lanes_max = lanes_.lanes_max();
  info.lane_switches = lanes_.layout_changes();
  info.memory_bytes_max = memory_bytes_max_;
  info.memory_bytes_promised = promised_.load();
  active_.with([&](const Active& a) {
    info.requests_active = static_cast<std::int32_t>(a.requests.size());
    info.door_closed = a.closing || draining_.load();
  });
  return info;
}

void Runtime::shutdown(Drain drain) {
  if (process_exits()) return;
  active_.change([](Active& a) { a.closing = true; });
  if (drain == Drain::kCancel) cancel_all(std::nullopt);
  for (const ExecutorInfo& info : executors())
    if (info.suspended) (void)resume(info.config.name);
  if (Dispatcher::on_dispatcher_thread()) return;
  active_.wait([](const Active& a) { return a.idle(); });
}

}  // namespace choir
