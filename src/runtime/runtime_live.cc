// What changes while executors run: suspend, settings, size, policy, other replicas.
#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "base/log.h"
#include "policy/spread.h"
#include "runtime/config_parts.h"
#include "runtime/runtime.h"
#include "runtime/warm_up.h"

namespace choir {
template <class Job>
auto Runtime::post_in_turn(Executor& executor, Job job)
    -> std::future<std::invoke_result_t<Job, Executor&>> {
  using Value = std::invoke_result_t<Job, Executor&>;
  auto promise = std::make_shared<std::promise<Value>>();
  auto future = promise->get_future();
  const bool posted = executor.post_job(
      [promise, job = std::move(job)](Executor& e) mutable { promise->set_value(job(e)); });
  if (!posted) return {};
  lanes_.ready(executor.id(), Priority::kCritical);
  return future;
}

// A job that was taken is run: by the next turn, or by whoever takes the executor from the lanes.
template <class Job>
auto Runtime::in_turn(const std::shared_ptr<Executor>& executor, Job job)
    -> Result<std::invoke_result_t<Job, Executor&>> {
  auto future = post_in_turn(*executor, std::move(job));
  if (!future.valid())
    return fail(Code::kNotFound, "executor '" + executor->name() + "' is not in memory any more");
  return patient_get(future);
}

// The flag and the executor change under one lock: of two calls at once the same one is last in
// both. Where it is just moving to another node the outcome is waited for.
Status Runtime::suspend(std::string_view name) {
  const Row known = CHOIR_TRY(row(name));
  const auto executor =
      *active_.wait([&](Active& a) -> std::optional<Result<std::shared_ptr<Executor>>> {
        const auto found = a.by_executor.find(known.id);
        if (a.closing || found == a.by_executor.end() || found->second.door == Door::kShut)
          return fail(Code::kNotFound, "executor '" + known.config.name + "' is just leaving");
        if (found->second.door == Door::kAway) return std::nullopt;
        found->second.suspended = true;
        const auto one = loaded(known.config.name);
        if (one) one->suspend();
        next_request(a);
        return one;
      });
  if (!CHOIR_TRY(executor)) return {};
  (*executor)->preempt();
  (void)in_turn(*executor, [](Executor&) { return true; });  // the pass that runs is the last one
  return {};
}

Status Runtime::resume(std::string_view name) {
  const Row known = CHOIR_TRY(row(name));
  const auto executor =
      *active_.wait([&](Active& a) -> std::optional<Result<std::shared_ptr<Executor>>> {
        const auto found = a.by_executor.find(known.id);
        if (found == a.by_executor.end())
          return fail(Code::kNotFound, "executor '" + known.config.name + "' is just leaving");
        if (found->second.door == Door::kAway) return std::nullopt;
        found->second.suspended = false;
        const auto one = loaded(known.config.name);
        if (one) one->resume();
        next_request(a);
        return one;
      });
  if (CHOIR_TRY(executor)) lanes_.ready(known.id, (*executor)->config().priority);
  return {};
}

// The row is changed and the executor told under one lock: of two updates the same one is last in
// both. An executor that is just leaving would not take the change along: that is waited for.
Status Runtime::update(const ExecutorConfig& config) {
  CHOIR_CHECK_OK(validate(config));
  const Row known = CHOIR_TRY(row(config.name));
  std::future<bool> told;
  const auto change = [&](Table& t) -> Status {
    Row& row = t.by_name.at(config.name);
    if (const auto field = fixed_difference(row.config, config))
      return fail(Code::kInvalidArgument,
                  std::string(*field) + " of executor '" + config.name +
                      "' is fixed while it lives; remove it and add it again, or resize() it");
    take_settings(row.config, config);
    if (!row.executor) return {};
    lanes_.set_shares(row.id, config.shares);
    told = post_in_turn(*row.executor, [config](Executor& e) {
      e.update(config);
      return true;
    });
    return {};
  };
  Status changed = *active_.wait([&](Active& a) -> std::optional<Status> {
    const auto found = a.by_executor.find(known.id);
    if (found == a.by_executor.end() || found->second.door == Door::kShut)
      return fail(Code::kNotFound, "executor '" + config.name + "' is just leaving");
    if (found->second.door == Door::kAway) return std::nullopt;
    return table_.with(change);
  });
  if (told.valid()) patient_get(told);
  return changed;
}

Status Runtime::resize(std::string_view name, std::int32_t sequences_max,
                       std::int32_t sequence_tokens_max, std::int32_t batch_tokens_max) {
  return loading_.with([&](int&) -> Status {
    const Row known = CHOIR_TRY(row(name));
    ExecutorConfig config = known.config;
    if (!active_.with([&](const Active& a) {
          const auto found = a.by_executor.find(known.id);
          return found != a.by_executor.end() && found->second.door == Door::kOpen;
        }))
      return fail(Code::kNotFound, "executor '" + config.name + "' is just leaving");
    const std::int32_t trained = known.model.context_tokens_trained;
    if (trained > 0 && sequence_tokens_max > trained) {
      log(LogLevel::kWarn, "executor '" + config.name + "': a length of " +
                               std::to_string(sequence_tokens_max) + " tokens is more than the " +
                               std::to_string(trained) +
                               " its model was trained for: taking those");
      sequence_tokens_max = trained;
    }
    const std::int64_t cells = static_cast<std::int64_t>(sequences_max) * sequence_tokens_max;
    if (sequences_max < 1 || sequence_tokens_max < 2 || cells > INT32_MAX)
      return fail(Code::kInvalidArgument, "cannot resize '" + config.name + "' to " +
                                              std::to_string(sequences_max) + " sequences of " +
                                              std::to_string(sequence_tokens_max) +
                                              " tokens: at least 1 of 2, together below 2^31");
    config.sequences_max = sequences_max;
    config.sequence_tokens_max = sequence_tokens_max;
    config.context_tokens = static_cast<std::int32_t>(cells);
    if (batch_tokens_max > 0) config.batch_tokens_max = batch_tokens_max;
    config.batch_tokens_max = std::max(config.batch_tokens_max, sequences_max);
    CHOIR_CHECK_OK(validate(config));
    const auto store = [&] {
      table_.with([&](Table& t) { take_sizes(t.by_name.at(config.name).config, config); });
    };
    if (!known.executor) {
      store();
      return {};
    }
    const EngineConfig engine_config = engine_config_of(config);
    // The old memory stays until everything has moved: both must fit beside each other.
    ExecutorBytes need = CHOIR_TRY(backend_->measure(config.path, engine_config));
    need.weights = 0;
    make_room(config.name, config.path, need);
    CHOIR_CHECK_OK(admit(config.name, need, memory_view()));
    auto engine = CHOIR_TRY(backend_->create_engine(known.executor->shared_model(), engine_config));
    CHOIR_CHECK_OK(warm_up(*backend_, known.executor->model(), *engine, clock_));
    const ExecutorBytes fresh = engine->sizes();
    const ExecutorBytes old = known.executor->bytes();
    promised_ += fresh.own();
    const auto swapped = in_turn(
        known.executor, [&](Executor& e) -> Status { return e.swap_engine(engine, config); });
    const bool done = swapped && *swapped;
    const ExecutorBytes& gone = done ? old : fresh;
    engine.reset();
    promised_ -= gone.own();
    if (!swapped) return tl::unexpected(swapped.error());
    if (done) store();
    return *swapped;
  });
}

Status Runtime::set_policy(ExecutionPolicy policy) {
  if (policy > ExecutionPolicy::kSequential)
    return fail(Code::kInvalidArgument, "that is no execution policy");
  const Nanos quantum = config_.quantum;
  rules_->quantum.store(policy == ExecutionPolicy::kOptimized ? 4 * quantum
                        : policy == ExecutionPolicy::kLatency ? quantum / 2
                                                              : quantum);
  rules_->fill.store(policy == ExecutionPolicy::kOptimized ? std::chrono::milliseconds(5)
                                                           : Nanos{0});
  const bool classes = policy != ExecutionPolicy::kFair;
  if (rules_->classes.exchange(classes) != classes)
    lanes_.set_rules({.age_step = config_.age_step, .classes = classes});
  active_.change([&](Active& a) {
    rules_->one_request.store(policy == ExecutionPolicy::kSequential);
    next_request(a);
  });
  policy_.store(policy);
  for (const ExecutorInfo& info : executors())
    if (const auto executor = loaded(info.config.name); executor && info.active > 0)
      lanes_.ready(executor->id(), info.config.priority);
  return {};
}

bool Runtime::holds(std::string_view name, ConversationKey key) const {
  const auto executor = loaded(name);
  return executor && executor->kept().holds(key);
}

Result<KvState> Runtime::copy_kept(std::string_view name, ConversationKey key) {
  const auto none = fail(Code::kNotFound, "no KV state of this conversation is in memory");
  const auto executor = loaded(name);
  if (!executor || !executor->kept().holds(key)) return none;
  auto state =
      CHOIR_TRY(in_turn(executor, [key](Executor& e) { return e.memory().copy_kept(key); }));
  if (!state) return none;
  return std::move(*state);
}

void Runtime::forget_kept(std::string_view name, ConversationKey key) {
  const auto executor = loaded(name);
  if (!executor) return;
  (void)executor->post_job([key](Executor& e) { e.memory().forget_kept(key); });
  lanes_.ready(executor->id(), Priority::kCritical);
}

void Runtime::keep_only(std::string_view name, std::set<ConversationKey> keys) {
  const auto executor = loaded(name);
  if (!executor) return;
  (void)executor->post_job([keys = std::move(keys)](Executor& e) { e.memory().keep_only(keys); });
  lanes_.ready(executor->id(), Priority::kCritical);
}

std::optional<ReplicaView> Runtime::replica(std::string_view name, ConversationKey key) const {
  const auto known = row(name);
  if (!known) return std::nullopt;
  return active_.with([&](const Active& a) -> std::optional<ReplicaView> {
    const auto found = a.by_executor.find(known->id);
    if (found == a.by_executor.end() || found->second.door == Door::kShut) return std::nullopt;
    return ReplicaView{
        .id = known->id,
        .priority = known->config.priority,
        .full = found->second.requests >= config_.queue_max || found->second.suspended,
        .outstanding_seconds = found->second.estimated_seconds,
        .seconds_per_prompt_token = known->stats->seconds_per_prompt_token.load(),
        .seconds_per_output_token = known->stats->seconds_per_output_token.load(),
        .reusable_tokens =
            known->executor && known->executor->kept().holds(key) ? kConversationTokens : 0};
  });
}

Result<std::int32_t> Runtime::spread_queues(const std::vector<std::string>& names) {
  std::map<ExecutorId, std::shared_ptr<Executor>> executors;
  std::vector<QueueView> queues;
  for (const std::string& name : names) {
    const auto executor = loaded(name);
    if (!executor || executor->suspended()) continue;
    auto queue = in_turn(executor, [](Executor& e) { return e.queue(); });
    if (!queue) continue;
    executors.emplace(executor->id(), executor);
    queues.push_back(*queue);
  }
  std::int32_t moved = 0;
  for (const Move& move : spread(queues)) {
    const auto& from = executors.at(move.from);
    const auto& to = executors.at(move.to);
    if (from->model().fingerprint() != to->model().fingerprint() ||
        from->config().kv_type != to->config().kv_type)  // whose answers are others
      continue;
    const auto given = in_turn(from, [&](Executor& e) {
      return active_.with([&](Active& a) -> std::int32_t {
        const auto source = a.by_executor.find(from->id());
        const auto heir = a.by_executor.find(to->id());
        // Under the lock that closes doors: what is posted here is still taken.
        if (source == a.by_executor.end() || heir == a.by_executor.end() ||
            heir->second.door != Door::kOpen || loaded(to->name()) != to)
          return 0;
        const auto live = std::make_shared<std::vector<std::unique_ptr<LiveSequence>>>(
            e.give_up(move.count, to->sequence_tokens_max()));
        const auto count = static_cast<std::int32_t>(live->size());
        for (const auto& l : *live) {
          source->second.estimated_seconds -= l->request->estimated_seconds;
          heir->second.estimated_seconds += l->request->estimated_seconds;
          l->request->move_to(*this, to->id());
        }
        source->second.requests -= count;
        heir->second.requests += count;
        const bool posted = to->post_job(
            [live](Executor& adopter) { adopter.adopt({.live = std::move(*live), .kept = {}}); });
        CHOIR_CHECK(posted, "an executor whose door is open takes jobs");
        return count;
      });
    });
    if (!given) continue;
    moved += *given;
    lanes_.ready(to->id(), Priority::kCritical);
  }
  return moved;
}

}  // namespace choir
