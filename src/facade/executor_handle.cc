#include "facade/executor_handle.h"

#include <algorithm>

#include "base/caught.h"
#include "base/log.h"
#include "base/process_exit.h"
#include "base/scope_end.h"
#include "choir/text.h"
#include "runtime/dispatcher.h"

namespace choir::parallel {
namespace {

// Below this a conversation has no room for an answer: what is lowered for lack of memory stops
// here.
constexpr std::int32_t kLengthMin = 256;

Status not_initialized(const std::string& id) {
  return fail(Code::kNotFound, "'" + id + "' is not initialized; call initialize() first");
}

}  // namespace

ExecutorHandle::ExecutorHandle(LLMExecutionConfig config, std::shared_ptr<RequestNames> names)
    : names_(std::move(names)) {
  if (config.createdAt == TimePoint{}) config.createdAt = wall_now();
  state_.with([&](State& s) {
    s.config = std::move(config);
    return 0;
  });
}

bool ExecutorHandle::report(const char* call, const Status& status) const {
  if (status) return true;
  const std::string id = state_.with([](const State& s) { return s.config.llmId; });
  return last_error_.report("llm '" + printable_line(id, 60) + "'", call, status);
}

Status ExecutorHandle::begin_change() {
  const bool inside_callback = Dispatcher::on_dispatcher_thread();
  const auto begun = state_.wait([&](State& s) -> std::optional<bool> {
    if (s.changing) return inside_callback ? std::optional(false) : std::nullopt;
    s.changing = true;
    return true;
  });
  if (*begun) return {};
  return fail(Code::kOverloaded,
              "another change of this executor is under way, and a callback cannot wait for it; "
              "call again later or from another thread");
}

void ExecutorHandle::end_change() {
  state_.change([](State& s) { s.changing = false; });
}

Status ExecutorHandle::change(const std::function<Status()>& work) {
  CHOIR_CHECK_OK(begin_change());
  const ScopeEnd end([this] { end_change(); });
  return caught(work);
}

Status ExecutorHandle::initialize() {
  CHOIR_CHECK_OK(refuse_inside_callback("initialize()", "another thread"));
  return change([&]() -> Status {
    if (initialized()) return {};
    (void)leave();  // asked for in a callback, and not done yet
    state_.with([](State& s) { s.phase = Phase::kLoading; });
    const std::string node = state_.with([](const State& s) { return s.node; });
    Status entered = caught([&]() -> Status { return enter(CHOIR_TRY(World::get()), node); });
    state_.with([&](State& s) { s.phase = entered ? Phase::kReady : Phase::kFailed; });
    return entered;
  });
}

Status ExecutorHandle::enter(const std::shared_ptr<World>& world, const std::string& node) {
  const LLMExecutionConfig config = this->config();
  const ExecutorSettings settings = CHOIR_TRY(read_settings(config));
  const ModelInfo model = CHOIR_TRY(world->model(config.modelPath));
  CHOIR_CHECK_OK(check_shape(model, config, settings));
  const World::Arrival arrival = CHOIR_TRY(world->arrive(node));
  Place place{.world = world,
              .node = arrival.node(),
              .name = world->take_name(config.llmId),
              .node_name = node,
              .encoder = !model.generates};
  ScopeEnd release([&] { world->release_name(place.name); });
  CHOIR_CHECK_OK(
      world->conversations().attach(place.name, settings.store, settings.store_kv_bytes_max));
  ScopeEnd detach([&] { world->conversations().detach(place.name); });
  CHOIR_CHECK_OK(add_what_fits(*place.node, node_config(model, config, settings, place.name)));
  release.release();
  detach.release();
  last_used_ms_ = unix_ms();
  state_.with([&](State& s) {
    s.settings = settings;
    s.place = std::move(place);
    return 0;
  });
  return {};
}

// As many as fit, then as long as fits.
Status ExecutorHandle::add_what_fits(Runtime& node, ExecutorConfig wanted) const {
  for (;;) {
    Status added = node.add(wanted);
    if (added || added.error().code != Code::kOutOfMemory) return added;
    if (wanted.sequences_max > 1)
      wanted.sequences_max /= 2;
    else if (wanted.sequence_tokens_max > kLengthMin)
      wanted.sequence_tokens_max = std::max(kLengthMin, wanted.sequence_tokens_max / 2);
    else
      return added;
    wanted.context_tokens = wanted.sequences_max * wanted.sequence_tokens_max;
    log(LogLevel::kWarn, "llm '" + config().llmId + "': " + added.error().message + "; trying " +
                             std::to_string(wanted.sequences_max) + " x " +
                             std::to_string(wanted.sequence_tokens_max) + " tokens");
  }
}

Status ExecutorHandle::check_shape(const ModelInfo& model, const LLMExecutionConfig& config,
                                   const ExecutorSettings& settings) const {
  std::string differs;
  const auto compare = [&](const char* field, std::size_t believed, std::int32_t real) {
    if (believed == 0 || believed == static_cast<std::size_t>(real)) return;
    differs += std::string(differs.empty() ? "" : ", ") + field + " is " +
               std::to_string(believed) + " and the file has " + std::to_string(real);
  };
  compare("numLayers", config.numLayers, model.layers);
  compare("hiddenSize", config.hiddenSize, model.embedding_size);
  compare("numHeads", config.numHeads, model.heads);
  if (names_encoder(config.modelType) == model.generates)
    differs += std::string(differs.empty() ? "" : ", ") + "modelType is '" + config.modelType +
               "' and the file " + (model.generates ? "generates text" : "is an encoder");
  if (differs.empty()) return {};
  if (settings.strict_shape) return fail(Code::kInvalidArgument, differs);
  log(LogLevel::kWarn, "llm '" + config.llmId + "': " + differs + "; the file counts");
  return {};
}

ExecutorConfig ExecutorHandle::node_config(const ModelInfo& model, const LLMExecutionConfig& config,
                                           const ExecutorSettings& settings,
                                           const std::string& name) const {
  auto length = static_cast<std::int32_t>(config.maxSequenceLength);
  if (model.context_tokens_trained > 0 && length > model.context_tokens_trained) {
    log(LogLevel::kWarn, "llm '" + config.llmId + "': maxSequenceLength is " +
                             std::to_string(length) + ", the model was trained for " +
                             std::to_string(model.context_tokens_trained) + ": taking that");
    length = model.context_tokens_trained;
  }
  const auto batch = static_cast<std::int32_t>(config.batchSize);
  ExecutorConfig c;
  c.name = name;
  c.path = model.path;
  c.sequences_max = batch;
  c.sequence_tokens_max = length;
  c.context_tokens = batch * length;
  c.batch_tokens_max = std::max(settings.batch_tokens_max, batch);
  c.shares = settings.shares;
  c.priority = native(config.priority);
  c.park_bytes_max = settings.park_bytes_max;
  c.batching = native(config.mode);
  c.pinned = settings.pinned;
  c.prefix_cache = settings.prefix_cache;
  c.kv_type = settings.kv_type;
  return c;
}

Status ExecutorHandle::leave() {
  const auto place = state_.with([](State& s) {
    s.phase = Phase::kIdle;
    return std::exchange(s.place, std::nullopt);
  });
  if (!place) return {};
  const ScopeEnd release([&] { place->world->release_name(place->name); });
  const ScopeEnd detach([&] { place->world->conversations().detach(place->name); });
  return place->node->remove(place->name, Drain::kCancel);
}

Status ExecutorHandle::shutdown() {
  if (process_exits()) return {};
  if (Dispatcher::on_dispatcher_thread()) {
    shut_down_elsewhere();
    return {};
  }
  return change([&] { return leave(); });
}

void ExecutorHandle::shut_down_elsewhere() {
  const auto here = place();
  if (!here) return;
  state_.with([](State& s) { s.phase = Phase::kIdle; });  // no new requests from now on
  cancel_all();
  // Of no key: it does not wait behind this executor's own requests, which it ends.
  (void)here->world->workers().post(Workers::kNoKey, [self = shared_from_this()] {
    const Status left =
        self->change([&] { return self->initialized() ? Status() : self->leave(); });
    (void)self->report("shutdown", left);
  });
}

bool ExecutorHandle::initialized() const {
  return state_.with([](const State& s) { return s.phase == Phase::kReady; });
}

LLMExecutionStatus ExecutorHandle::status() const {
  switch (state_.with([](const State& s) { return s.phase; })) {
    case Phase::kIdle:
      return LLMExecutionStatus::IDLE;
    case Phase::kLoading:
      return LLMExecutionStatus::LOADING;
    case Phase::kFailed:
      return LLMExecutionStatus::FAILED;
    case Phase::kReady:
      break;
  }
  const auto now = info();
  if (!now) return LLMExecutionStatus::IDLE;
  if (now->suspended) return LLMExecutionStatus::SUSPENDED;
  if (!active().empty()) return LLMExecutionStatus::EXECUTING;
  return now->loaded ? LLMExecutionStatus::READY : LLMExecutionStatus::IDLE;
}

LLMExecutionConfig ExecutorHandle::config() const {
  LLMExecutionConfig config = state_.with([](const State& s) { return s.config; });
  if (const std::int64_t used = last_used_ms_.load(); used > 0)
    config.lastUsed = TimePoint(std::chrono::milliseconds(used));
  return config;
}

Status ExecutorHandle::update(const LLMExecutionConfig& wanted) {
  return change([&]() -> Status {
    const ExecutorSettings settings = CHOIR_TRY(read_settings(wanted));
    const LLMExecutionConfig old = config();
    const auto fixed = [&](const char* field) {
      return fail(Code::kInvalidArgument, std::string(field) +
                                              " cannot change while the executor lives; "
                                              "shut it down and create it anew");
    };
    if (wanted.llmId != old.llmId) return fixed("llmId");
    const auto here = state_.with([](const State& s) { return s.place; });
    if (here) {
      if (wanted.modelPath != old.modelPath) return fixed("modelPath");
      if (wanted.modelType != old.modelType) return fixed("modelType");
      const ExecutorSettings now = state_.with([](const State& s) { return s.settings; });
      if (settings.store != now.store) return fixed("parameters[\"store\"]");
      if (settings.store_kv_bytes_max != now.store_kv_bytes_max)
        return fixed("parameters[\"store_kv_mib_max\"]");
      if (settings.batch_tokens_max != now.batch_tokens_max)
        return fixed("parameters[\"batch_tokens_max\"]");
      if (settings.kv_type != now.kv_type) return fixed("parameters[\"kv_type\"]");
      if (wanted.batchSize != old.batchSize || wanted.maxSequenceLength != old.maxSequenceLength)
        return fail(Code::kInvalidArgument,
                    "batchSize and maxSequenceLength change with scale(), not here");
      ExecutorConfig live = CHOIR_TRY(here->node->executor(here->name)).config;
      live.shares = settings.shares;
      live.priority = native(wanted.priority);
      live.batching = native(wanted.mode);
      live.park_bytes_max = settings.park_bytes_max;
      live.pinned = settings.pinned;
      live.prefix_cache = settings.prefix_cache;
      CHOIR_CHECK_OK(here->node->update(live));
    }
    state_.with([&](State& s) {
      const TimePoint created = s.config.createdAt;
      s.config = wanted;
      if (wanted.createdAt == TimePoint{}) s.config.createdAt = created;
      s.settings = settings;
      return 0;
    });
    return {};
  });
}

Status ExecutorHandle::set_priority(LLMPriority priority) {
  LLMExecutionConfig wanted = config();
  wanted.priority = priority;
  return update(wanted);
}

Status ExecutorHandle::set_mode(LLMExecutionMode mode) {
  LLMExecutionConfig wanted = config();
  wanted.mode = mode;
  return update(wanted);
}

Result<ExecutorHandle::Place> ExecutorHandle::place() const {
  return state_.with([](const State& s) -> Result<Place> {
    if (s.phase == Phase::kReady && s.place) return *s.place;
    return tl::unexpected(not_initialized(s.config.llmId).error());
  });
}

std::optional<ExecutorInfo> ExecutorHandle::info() const {
  const auto here = place();
  if (!here) return std::nullopt;
  auto info = here->node->executor(here->name);
  return info ? std::optional(std::move(*info)) : std::nullopt;
}

std::string ExecutorHandle::group() const {
  return state_.with([](const State& s) { return s.settings.group; });
}

void ExecutorHandle::set_node(const std::string& node) {
  state_.with([&](State& s) {
    s.node = node;
    return 0;
  });
}

void ExecutorHandle::set_adopter(Adopter adopter) {
  state_.with([&](State& s) {
    s.adopter = std::move(adopter);
    return 0;
  });
}

}  // namespace choir::parallel
