#include "runtime/runtime.h"

#include <algorithm>
#include <array>
#include <limits>
#include <random>
#include <thread>

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

Result<std::shared_ptr<Runtime>> Runtime::create(const NodeConfig& config, const Machine& machine,
                                                 std::unique_ptr<Backend> backend) {
  CHOIR_CHECK_OK(validate(config));
  if (config.cores > machine.cores)
    log(LogLevel::kWarn, "cores is " + std::to_string(config.cores) + ", this process may use " +
                             std::to_string(machine.cores) + ": taking those");
  auto runtime = std::shared_ptr<Runtime>(new Runtime(config, machine, std::move(backend)));
  try {
    runtime->dispatcher_.start(config.dispatchers);
    runtime->alarms_.start();
    runtime->lanes_.start();
  } catch (const std::system_error& error) {
    return fail(Code::kOverloaded, std::string("no threads for a node: ") + error.what());
  }
  return runtime;
}

Runtime::Runtime(const NodeConfig& config, const Machine& machine, std::unique_ptr<Backend> backend)
    : config_(config),
      epoch_(static_cast<std::uint64_t>(std::random_device{}()) << 32U),
      backend_(std::move(backend)),
      memory_bytes_max_(memory_limit(config, machine)),
      dispatcher_({.drained =
                       [this](const RequestState& request) {
                         if (request.held_back.load())
                           lanes_.ready(request.executor, Priority::kNormal);
                       },
                   .ended = [this](const RequestState& request) { strike(request); }}),
      // An alarm goes first: what it ends costs no compute.
      alarms_(clock_, [this](ExecutorId id) { lanes_.ready(id, Priority::kCritical); }),
      lanes_(lane_cpus(config, machine), {.age_step = config.age_step}, clock_, *backend_,
             [this](ExecutorId id, std::optional<Instant> at) { alarms_.set(id, at); }) {}

Runtime::~Runtime() {
  shutdown(Drain::kCancel);
  lanes_.stop();
  alarms_.stop();
  dispatcher_.stop();
}

MemoryView Runtime::memory_view() const {
  return {.limit = memory_bytes_max_,
          .promised = promised_.load(),
          .free = std::min(memory_bytes_max_, read_machine().memory_free())};
}

Status Runtime::add(const ExecutorConfig& config) {
  CHOIR_CHECK_OK(validate(config));
  CHOIR_CHECK_OK(refuse_inside_callback("add()", "another thread"));
  return loading_.with([&](int&) -> Status {
    const bool taken = table_.with([&](const Table& t) { return t.by_name.contains(config.name); });
    if (taken)
      return fail(Code::kAlreadyExists,
                  "an executor named '" + config.name + "' is running already");
    if (active_.with([](const Active& a) { return a.closing; }))
      return fail(Code::kCancelled, "the node is shutting down");
    std::shared_ptr<Executor> executor = CHOIR_TRY(make_executor(config));
    promised_ += executor->bytes().kv + executor->bytes().compute + executor->bytes().logits;
    lanes_.add(executor);
    table_.with([&](Table& t) {
      t.by_id.emplace(executor->id(), executor);
      t.by_name.emplace(config.name, executor);
    });
    return {};
  });
}

Result<std::shared_ptr<Executor>> Runtime::make_executor(const ExecutorConfig& config) {
  EngineConfig engine_config{
      .context_tokens = config.context_tokens,
      .sequences_max = config.sequences_max,
      .batch_tokens_max = std::min(config.batch_tokens_max, config.context_tokens)};
  const auto in = [&](Error error) {
    return tl::unexpected(std::move(error).in("executor '" + config.name + "'"));
  };
  const auto need = backend_->measure(config.path, engine_config);
  if (!need) return in(need.error());
  if (Status fits = admit(config.name, *need, memory_view()); !fits)
    return tl::unexpected(fits.error());
  auto model = backend_->load(config.path);
  if (!model) return in(model.error());
  auto engine = backend_->create_engine(*model, engine_config);
  if (!engine) return in(engine.error());
  if (Status warm = warm_up(*backend_, **model, **engine, clock_); !warm) return in(warm.error());
  const ExecutorRules rules{.quantum = config_.quantum,
                            .age_step = config_.age_step,
                            .stalled = config_.stalled,
                            .stream_bytes_max = config_.stream_bytes_max,
                            .mailbox_max = static_cast<std::size_t>(config_.queue_max),
                            .urgent = urgent_};
  promised_ += need->weights;  // given back when the last executor of this file goes
  return std::make_shared<Executor>(
      ExecutorId{next_executor_++}, config, std::move(*model), std::move(*engine), rules, clock_,
      [this](std::shared_ptr<RequestState> request) { dispatcher_.notify(std::move(request)); });
}

Status Runtime::remove(std::string_view name, Drain drain) {
  CHOIR_CHECK_OK(refuse_inside_callback("remove()", "another thread"));
  const std::shared_ptr<Executor> executor = CHOIR_TRY(find(name));
  // Under the lock that counts requests: from here on none can come in, however early its caller
  // has found the executor.
  const bool ours = active_.with([&](Active& a) {
    if (std::ranges::find(a.closed, executor->id()) != a.closed.end()) return false;
    a.closed.push_back(executor->id());
    return true;
  });
  if (!ours)
    return fail(Code::kNotFound, "executor '" + std::string(name) + "' is being removed already");
  if (drain == Drain::kCancel) cancel_all(executor->id());
  active_.wait([&](Active& a) { return a.by_executor[executor->id()] == 0; });
  lanes_.remove(executor->id());
  alarms_.set(executor->id(), std::nullopt);
  active_.with([&](Active& a) { a.by_executor.erase(executor->id()); });
  const bool last_of_file = table_.with([&](Table& t) {
    t.by_name.erase(executor->config().name);
    t.by_id.erase(executor->id());
    return std::ranges::none_of(
        t.by_id, [&](const auto& row) { return &row.second->model() == &executor->model(); });
  });
  const ExecutorBytes bytes = executor->bytes();
  promised_ -= bytes.kv + bytes.compute + bytes.logits + (last_of_file ? bytes.weights : 0);
  return {};
}

Result<std::shared_ptr<Executor>> Runtime::find(std::string_view name) const {
  return table_.with([&](const Table& t) -> Result<std::shared_ptr<Executor>> {
    if (name.empty()) {
      if (t.by_name.size() == 1) return t.by_name.begin()->second;
      return fail(Code::kInvalidArgument, "no executor is named, and the node has " +
                                              std::to_string(t.by_name.size()) + " of them");
    }
    if (const auto found = t.by_name.find(name); found != t.by_name.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [other, executor] : t.by_name) known.push_back(other);
    std::string message = "no executor is named '" + std::string(name) + "'";
    if (const auto close = nearest(name, known)) message += "; the nearest is '" + *close + "'";
    return fail(Code::kNotFound, message);
  });
}

std::shared_ptr<Executor> Runtime::by_id(ExecutorId id) const {
  return table_.with([&](const Table& t) {
    const auto found = t.by_id.find(id);
    return found == t.by_id.end() ? nullptr : found->second;
  });
}

ExecutorInfo Runtime::describe(const Executor& executor) const {
  const ExecutorStats& stats = executor.stats();
  const ExecutorBytes bytes = executor.bytes();
  return {.config = executor.config(),
          .model = executor.model().info(),
          .memory = {bytes.weights, bytes.kv, bytes.compute + bytes.logits},
          .running = stats.running.load(),
          .waiting = stats.waiting.load(),
          .steps = stats.steps.load(),
          .prompt_tokens = stats.prompt_tokens.load(),
          .output_tokens = stats.output_tokens.load(),
          .requests_done = stats.requests_done.load(),
          .requests_failed = stats.requests_failed.load(),
          .preemptions = stats.preemptions.load(),
          .compute_seconds = lanes_.compute_seconds(executor.id())};
}

std::vector<ExecutorInfo> Runtime::executors() const {
  const auto all = table_.with([](const Table& t) {
    std::vector<std::shared_ptr<Executor>> list;
    for (const auto& [name, executor] : t.by_name) list.push_back(executor);
    return list;
  });
  std::vector<ExecutorInfo> infos;
  infos.reserve(all.size());
  for (const auto& executor : all) infos.push_back(describe(*executor));
  return infos;
}

NodeInfo Runtime::info() const {
  NodeInfo info;
  info.lanes = lanes_.layout().threads;
  for (const std::int32_t threads : info.lanes) info.cores += threads;
  info.lane_switches = lanes_.layout_changes();
  info.memory_bytes_max = memory_bytes_max_;
  info.memory_bytes_promised = promised_.load();
  info.requests_active =
      active_.with([](const Active& a) { return static_cast<std::int32_t>(a.requests.size()); });
  return info;
}

void Runtime::shutdown(Drain drain) {
  active_.with([](Active& a) { a.closing = true; });
  if (drain == Drain::kCancel) cancel_all(std::nullopt);
  if (Dispatcher::on_dispatcher_thread()) return;
  active_.wait([](Active& a) { return a.requests.empty(); });
}

Status Runtime::wait_idle() {
  CHOIR_CHECK_OK(refuse_inside_callback("wait_idle()", "on_done"));
  active_.wait([](Active& a) { return a.requests.empty(); });
  return {};
}

}  // namespace choir
