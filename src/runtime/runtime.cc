#include "runtime/runtime.h"

#include <algorithm>
#include <system_error>

#include "base/log.h"

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
    CHOIR_CHECK_OK(runtime->background_.start());
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
      // An alarm goes first: what it ends costs no compute.
      alarms_(clock_, [this](ExecutorId id) { ring(id); }),
      lanes_(lane_cpus(config, machine), config.lanes_max, {.age_step = config.age_step}, clock_,
             *backend_, [this](ExecutorId id, std::optional<Instant> at) { alarms_.set(id, at); }),
      active_(table_, lanes_, observing_, clock_,
              {.queue_max = static_cast<std::size_t>(config.queue_max),
               .node = rules_.get(),
               .notify = [this](auto request) { dispatcher_.notify(std::move(request)); },
               .arrived = [this](ExecutorId id) { arrivals_.look_at(id); },
               .unused = [this](ExecutorId id) { leases_.look_for(id); },
               .look_at_arrivals =
                   [this](ExecutorId id, Instant at) {
                     alarms_.set_earlier(alarm_of_arrivals(id), at);
                   }}),
      kept_(table_, lanes_),
      leases_({table_, alarms_, clock_},
              [this] {
                background_.post(Background::kLoads, [this] { residents_.let_unheld_leave(); });
              }),
      residents_({table_, active_, kept_, lanes_, alarms_, leases_, *backend_, observing_, clock_},
                 {.rules = {.age_step = config_.age_step,
                            .stalled = config_.stalled,
                            .stream_bytes_max = config_.stream_bytes_max,
                            .mailbox_max = static_cast<std::size_t>(config_.queue_max),
                            .adapt_threads = config_.adapt_threads,
                            .node = rules_,
                            .observing = observing_.on() ? &observing_ : nullptr},
                  .memory_bytes_max = memory_limit(config, machine)},
                 [this](std::shared_ptr<RequestState> request) {
                   dispatcher_.notify(std::move(request));
                 }),
      arrivals_({table_, active_, residents_, background_, clock_}),
      moves_({table_, active_, residents_, leases_, lanes_, clock_}) {}

// The alarm of what has its turn, of what waits for the executor to be there, or of a lease.
void Runtime::ring(ExecutorId id) {
  if (id == kLeasesAlarm)
    leases_.look();
  else if ((id.value & kArrivals) != 0)
    active_.end_arrivals({id.value & ~kArrivals});
  else
    lanes_.ready(id, Priority::kCritical);
}

Runtime::~Runtime() {
  if (&clock_ == &steady_) {
    shutdown(Drain::kCancel);
  } else {
    ask_to_stop();  // by hand: no thread would bring requests to their ends while this waits
  }
  alarms_.stop();  // an alarm may post work to the background
  background_.stop();
  lanes_.stop();
  dispatcher_.stop();
  at_exit_.reset();
}

void Runtime::ask_to_stop() {
  active_.close();
  active_.cancel_all(std::nullopt);
}

// Where a callback has called exit() its request does not end, and no callback is told of the
// others.
void Runtime::stop_until(Instant end) {
  if (!Dispatcher::on_dispatcher_thread())
    active_.wait_no_requests_until(clock_.now() + (end - clock_.now()) / 4 * 3);
  dispatcher_.stop_until(clock_, end);
  lanes_.stop_until(end);
  alarms_.stop_until(end);
}

Status Runtime::add(const ExecutorConfig& config) {
  CHOIR_CHECK_OK(validate(config));
  CHOIR_CHECK_OK(refuse_inside_callback("add()", "another thread"));
  watch_exit();
  return residents_.add(config);
}

Status Runtime::remove(std::string_view name, Drain drain) {
  CHOIR_CHECK_OK(refuse_inside_callback("remove()", "another thread"));
  const ExecutorRow row = CHOIR_TRY(table_.row(name));
  // Under the lock that counts requests: from here on none can come in, however early its caller
  // has found the executor.
  if (!active_.wait_shut(row, drain == Drain::kCancel))
    return fail(Code::kNotFound, "executor '" + std::string(name) + "' is being removed already");
  if (drain == Drain::kCancel)
    active_.cancel_all(row.id);
  else
    (void)resume(name);  // it is not suspended any more
  active_.wait_empty(row.id);
  residents_.remove(row);
  return {};
}

ExecutorInfo Runtime::describe(const ExecutorRow& row) const {
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
                    .compute_seconds = row.compute_seconds,
                    .due_seconds = row.due_seconds};
  if (row.executor) {
    const ExecutorBytes bytes = row.executor->bytes();
    info.memory = {bytes.weights, bytes.kv, bytes.compute + bytes.logits};
    info.kept = row.executor->kept().count();
    info.cells = stats.cells.load();
    info.cached_cells = stats.cached_cells.load();
    info.threads = stats.threads.load();
    const Schedule::CoreSeconds seconds = lanes_.core_seconds(row.id);
    info.compute_seconds += seconds.had;
    info.due_seconds += seconds.due;
  }
  if (!row.executor) {
    info.loading = arrivals_.loading(row.id);
    if (!info.loading) info.loading = residents_.loading(row.id);
  }
  info.leases = leases_.of(row.id);
  if (const auto activity = active_.activity(row.id)) {
    info.suspended = activity->suspended;
    info.active = activity->requests;
    info.full = activity->requests >= config_.queue_max;
    info.outstanding_seconds = activity->estimated_seconds;
    info.waiting += activity->arriving;
    if (info.active == 0) info.idle_seconds = to_seconds(clock_.now() - activity->last_used);
  }
  return info;
}

std::vector<ExecutorInfo> Runtime::executors() const {
  const auto rows = table_.rows();
  std::vector<ExecutorInfo> infos;
  infos.reserve(rows.size());
  for (const ExecutorRow& row : rows) infos.push_back(describe(row));
  return infos;
}

Result<ExecutorInfo> Runtime::executor(std::string_view name) const {
  return describe(CHOIR_TRY(table_.row(name)));
}

NodeInfo Runtime::info() const {
  NodeInfo info;
  info.lanes = lanes_.layout().threads;
  for (const std::int32_t threads : info.lanes) info.cores += threads;
  info.lanes_max = lanes_.lanes_max();
  info.lane_switches = lanes_.layout_changes();
  info.memory_bytes_max = residents_.memory_bytes_max();
  info.memory_bytes_promised = residents_.promised();
  info.requests_active = active_.count();
  info.door_closed = !active_.takes_requests();
  return info;
}

void Runtime::shutdown(Drain drain) {
  if (process_exits()) return;
  active_.close();
  if (drain == Drain::kCancel) active_.cancel_all(std::nullopt);
  for (const ExecutorInfo& info : executors())
    if (info.suspended) (void)resume(info.config.name);
  if (Dispatcher::on_dispatcher_thread()) return;
  active_.wait_idle();
}

}  // namespace choir
