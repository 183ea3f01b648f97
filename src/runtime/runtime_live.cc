// What changes while executors run: suspend, settings, size, policy, another node, other replicas.
#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "base/log.h"
#include "policy/spread.h"
#include "runtime/runtime.h"
#include "runtime/warm_up.h"

namespace choir {
namespace {

// Where the length of a prompt is not known: a turn of a conversation that has gone on for a while.
constexpr std::int32_t kSomeTokens = 512;

}  // namespace

template <class Job>
auto Runtime::in_turn(const std::shared_ptr<Executor>& executor, Job job)
    -> Result<std::invoke_result_t<Job, Executor&>> {
  using Value = std::invoke_result_t<Job, Executor&>;
  auto promise = std::make_shared<std::promise<Value>>();
  auto future = promise->get_future();
  const bool posted = executor->post_job(
      [promise, job = std::move(job)](Executor& e) mutable { promise->set_value(job(e)); });
  if (!posted)
    return fail(Code::kNotFound, "executor '" + executor->name() + "' is not in memory any more");
  lanes_.ready(executor->id(), Priority::kCritical);
  return future.get();
}

Status Runtime::suspend(std::string_view name) {
  const Row known = CHOIR_TRY(row(name));
  active_.change([&](Active& a) {
    if (const auto found = a.by_executor.find(known.id); found != a.by_executor.end())
      found->second.suspended = true;
    next_request(a);
  });
  const auto executor = loaded(known.config.name);
  if (!executor) return {};
  executor->preempt();
  (void)in_turn(executor, [](Executor& e) {
    e.suspend();
    return true;
  });
  return {};
}

Status Runtime::resume(std::string_view name) {
  const Row known = CHOIR_TRY(row(name));
  active_.change([&](Active& a) {
    if (const auto found = a.by_executor.find(known.id); found != a.by_executor.end())
      found->second.suspended = false;
    next_request(a);
  });
  if (const auto executor = loaded(known.config.name)) {
    executor->resume();
    lanes_.ready(executor->id(), executor->config().priority);
  }
  return {};
}

Status Runtime::update(const ExecutorConfig& config) {
  CHOIR_CHECK_OK(validate(config));
  const Row known = CHOIR_TRY(row(config.name));
  ExecutorConfig live = known.executor ? known.executor->config() : known.config;
  live.shares = config.shares;
  live.priority = config.priority;
  live.batching = config.batching;
  live.pinned = config.pinned;
  live.park_bytes_max = config.park_bytes_max;
  const auto refuse = [&](const char* field) {
    return fail(Code::kInvalidArgument,
                std::string(field) + " of executor '" + config.name +
                    "' is fixed while it lives; remove it and add it again, or resize() it");
  };
  if (live.path != config.path) return refuse("path");
  if (live.context_tokens != config.context_tokens) return refuse("context_tokens");
  if (live.sequences_max != config.sequences_max) return refuse("sequences_max");
  if (live.sequence_tokens_max != config.sequence_tokens_max) return refuse("sequence_tokens_max");
  if (live.batch_tokens_max != config.batch_tokens_max) return refuse("batch_tokens_max");
  table_.with([&](Table& t) {
    if (const auto found = t.by_name.find(config.name); found != t.by_name.end())
      found->second.config = live;
  });
  if (!known.executor) return {};
  lanes_.set_shares(known.id, live.shares);
  (void)in_turn(known.executor, [live](Executor& e) {
    e.update(live);
    return true;
  });
  return {};
}

Status Runtime::resize(std::string_view name, std::int32_t sequences_max,
                       std::int32_t sequence_tokens_max, std::int32_t batch_tokens_max) {
  return loading_.with([&](int&) -> Status {
    const Row known = CHOIR_TRY(row(name));
    ExecutorConfig config = known.executor ? known.executor->config() : known.config;
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
      table_.with([&](Table& t) { t.by_name.at(config.name).config = config; });
    };
    if (!known.executor) {
      store();
      return {};
    }
    const EngineConfig engine_config{
        .context_tokens = config.context_tokens,
        .sequences_max = config.sequences_max,
        .batch_tokens_max = std::min(config.batch_tokens_max, config.context_tokens)};
    // The old memory stays until everything has moved: both must fit beside each other.
    ExecutorBytes need = CHOIR_TRY(backend_->measure(config.path, engine_config));
    need.weights = 0;
    make_room(config.name, config.path, need);
    CHOIR_CHECK_OK(admit(config.name, need, memory_view()));
    auto engine = CHOIR_TRY(backend_->create_engine(known.executor->shared_model(), engine_config));
    CHOIR_CHECK_OK(warm_up(*backend_, known.executor->model(), *engine, clock_));
    const ExecutorBytes fresh = engine->sizes();
    const ExecutorBytes old = known.executor->bytes();
    promised_ += fresh.kv + fresh.compute + fresh.logits;
    const auto swapped = in_turn(
        known.executor, [&](Executor& e) -> Status { return e.swap_engine(engine, config); });
    const bool done = swapped && *swapped;
    const ExecutorBytes& gone = done ? old : fresh;
    engine.reset();
    promised_ -= gone.kv + gone.compute + gone.logits;
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
  return executor && executor->holds(key);
}

Result<KvState> Runtime::copy_kept(std::string_view name, ConversationKey key) {
  const auto none = fail(Code::kNotFound, "no KV state of this conversation is in memory");
  const auto executor = loaded(name);
  if (!executor || !executor->holds(key)) return none;
  auto state = CHOIR_TRY(in_turn(executor, [key](Executor& e) { return e.copy_kept(key); }));
  if (!state) return none;
  return std::move(*state);
}

void Runtime::forget_kept(std::string_view name, ConversationKey key) {
  const auto executor = loaded(name);
  if (!executor) return;
  (void)executor->post_job([key](Executor& e) { e.forget_kept(key); });
  lanes_.ready(executor->id(), Priority::kCritical);
}

std::vector<std::shared_ptr<Runtime>> Runtime::forwards() const {
  return forwards_.with([](const Forwards& all) {
    std::vector<std::shared_ptr<Runtime>> alive;
    for (const auto& one : all)
      if (auto runtime = one.lock()) alive.push_back(std::move(runtime));
    return alive;
  });
}

Status Runtime::migrate(std::string_view name, Runtime& target) {
  if (&target == this) return {};
  const Row known = CHOIR_TRY(row(name));
  const std::string& id_text = known.config.name;
  ExecutorConfig config = known.executor ? known.executor->config() : known.config;
  CHOIR_CHECK_OK(target.add(config));
  const Status closed = close_door(known, true);
  const auto source = closed ? loaded(id_text) : nullptr;
  if (!closed) {
    (void)target.remove(id_text, Drain::kCancel);
    return closed;
  }
  const bool suspended =
      active_.with([&](const Active& a) { return a.by_executor.at(known.id).suspended; });
  const auto heir = target.loaded(id_text);
  Executor::Belongings belongings;
  if (source) {
    take_from_lanes(source);
    belongings = source->extract();
    for (auto& job : source->take_embeddings())
      if (!heir->post_embedding(job)) job.promise->set_value(fail(Code::kOverloaded, "no room"));
  }
  // In both books for a moment, so that a cancel finds it in one of them.
  target.active_.change([&](Active& a) {
    Activity& activity = a.by_executor.at(heir->id());
    activity.suspended = suspended;
    for (const auto& live : belongings.live) {
      const auto& state = live->request;
      a.requests.emplace(state->id, state);
      ++activity.requests;
      activity.estimated_seconds += state->estimated_seconds;
    }
  });
  active_.change([&](Active& a) {
    Activity& activity = a.by_executor.at(known.id);
    for (const auto& live : belongings.live) {
      a.requests.erase(live->request->id);
      --activity.requests;
      live->request->move_to(target, heir->id());
    }
    next_request(a);
  });
  forwards_.with([&](Forwards& all) {
    std::erase_if(all, [](const auto& one) { return one.expired(); });
    all.push_back(target.weak_from_this());
  });
  if (suspended) heir->suspend();
  auto moved = std::make_shared<Executor::Belongings>(std::move(belongings));
  const bool adopted = heir->post_job([moved](Executor& e) { e.adopt(std::move(*moved)); });
  CHOIR_CHECK(adopted, "nobody else knows the new executor yet");
  target.active_.change([&](Active& a) { target.next_request(a); });
  target.lanes_.ready(heir->id(), Priority::kCritical);
  // Requests whose end is being told are still counted here.
  active_.wait([&](Active& a) {
    const Activity& activity = a.by_executor.at(known.id);
    return activity.requests == 0 || Dispatcher::on_dispatcher_thread();
  });
  return loading_.with([&](int&) -> Status {
    table_.with([&](Table& t) {
      t.by_name.erase(id_text);
      t.names.erase(known.id);
    });
    if (source) give_back_bytes(*source);
    active_.change([&](Active& a) { a.by_executor.erase(known.id); });
    return {};
  });
}

Result<std::string> Runtime::route(const std::vector<std::string>& names, const Request& request,
                                   ConversationKey key, Balance balance, std::uint64_t turn) const {
  std::vector<ReplicaView> replicas;
  std::map<ExecutorId, std::string> by_id;
  for (const bool loaded_only : {true, false}) {
    for (const std::string& name : names) {
      const auto known = row(name);
      if (!known || (loaded_only && !known->executor)) continue;
      const std::int32_t reusable =
          known->executor && known->executor->holds(key) ? kSomeTokens : 0;
      active_.with([&](const Active& a) {
        const auto found = a.by_executor.find(known->id);
        if (found == a.by_executor.end() || found->second.door == Door::kShut) return;
        by_id.emplace(known->id, name);
        replicas.push_back(
            {.id = known->id,
             .priority = known->config.priority,
             .full = found->second.requests >= config_.queue_max || found->second.suspended,
             .outstanding_seconds = found->second.estimated_seconds,
             .seconds_per_prompt_token = known->stats->seconds_per_prompt_token.load(),
             .seconds_per_output_token = known->stats->seconds_per_output_token.load(),
             .reusable_tokens = reusable});
      });
    }
    if (!replicas.empty()) break;
  }
  const auto chosen = choir::route(replicas, {.prompt_tokens = kSomeTokens,
                                              .output_tokens_max = request.max_tokens,
                                              .turn = turn,
                                              .balance = balance});
  if (!chosen) return fail(Code::kNotFound, "no executor is there to take the request");
  return by_id.at(*chosen);
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
    if (from->model().fingerprint() != to->model().fingerprint()) continue;
    auto given = in_turn(from, [&](Executor& e) {
      auto live = e.give_up(move.count);
      active_.with([&](Active& a) {
        for (const auto& l : live) {
          const double seconds = l->request->estimated_seconds;
          const auto add = [&](ExecutorId id, int sign) {
            const auto found = a.by_executor.find(id);
            if (found == a.by_executor.end()) return;
            found->second.requests += sign;
            found->second.estimated_seconds += sign * seconds;
          };
          add(from->id(), -1);
          add(to->id(), 1);
          l->request->move_to(*this, to->id());
        }
      });
      return std::make_shared<decltype(live)>(std::move(live));
    });
    if (!given) continue;
    moved += static_cast<std::int32_t>((*given)->size());
    const auto post = [&](const std::shared_ptr<Executor>& heir) {
      return heir->post_job(
          [given = *given](Executor& e) { e.adopt({.live = std::move(*given), .kept = {}}); });
    };
    // One that left memory in between cannot take them: they were active, so it did not.
    CHOIR_CHECK(post(to), "an executor with requests stays");
    lanes_.ready(to->id(), Priority::kCritical);
  }
  return moved;
}

}  // namespace choir
