// What changes while executors run: suspend, settings, size, policy, other replicas.

#include "base/patience.h"
#include "policy/spread.h"
#include "runtime/config_parts.h"
#include "runtime/in_turn.h"
#include "runtime/runtime.h"

namespace choir {

// The flag and the executor change under one lock: of two calls at once the same one is last in
// both. Where it is just moving to another node the outcome is waited for.
Status Runtime::suspend(std::string_view name) {
  const ExecutorRow known = CHOIR_TRY(table_.row(name));
  std::shared_ptr<Executor> executor;
  CHOIR_CHECK_OK(active_.wait_change(known, ActiveRequests::ShutToo::kNo, [&](Activity& activity) {
    activity.suspended = true;
    executor = table_.loaded(known.id);
    if (executor) executor->suspend();
    return Status{};
  }));
  if (!executor) return {};
  executor->preempt();
  (void)in_turn(lanes_, *executor, [](Executor&) { return true; });  // the last pass is over
  return {};
}

Status Runtime::resume(std::string_view name) {
  const ExecutorRow known = CHOIR_TRY(table_.row(name));
  std::shared_ptr<Executor> executor;
  CHOIR_CHECK_OK(active_.wait_change(known, ActiveRequests::ShutToo::kYes, [&](Activity& activity) {
    activity.suspended = false;
    executor = table_.loaded(known.id);
    if (executor) executor->resume();
    return Status{};
  }));
  if (executor) lanes_.ready(known.id, executor->config().priority);
  return {};
}

// The row is changed and the executor told under one lock: of two updates the same one is last in
// both. An executor that is just leaving would not take the change along: that is waited for.
Status Runtime::update(const ExecutorConfig& config) {
  CHOIR_CHECK_OK(validate(config));
  const ExecutorRow known = CHOIR_TRY(table_.row(config.name));
  std::future<bool> told;
  const auto change = [&](ExecutorRow& row) -> Status {
    if (const auto field = fixed_difference(row.config, config))
      return fail(Code::kInvalidArgument,
                  std::string(*field) + " of executor '" + config.name +
                      "' is fixed while it lives; remove it and add it again, or resize() it");
    take_settings(row.config, config);
    if (!row.executor) return {};
    lanes_.set_shares(row.id, config.shares);
    told = post_in_turn(lanes_, *row.executor, [config](Executor& e) {
      e.update(config);
      return true;
    });
    return {};
  };
  Status changed = active_.wait_change(known, ActiveRequests::ShutToo::kNo, [&](Activity&) {
    return table_.change(config.name, change);
  });
  if (told.valid()) patient_get(told);
  if (changed && !config.pinned) leases_.look_for(known.id);  // it may have been pinned until now
  return changed;
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
  active_.set_one_request(policy == ExecutionPolicy::kSequential);
  policy_.store(policy);
  for (const ExecutorInfo& info : executors())
    if (const auto executor = table_.loaded(info.config.name); executor && info.active > 0)
      lanes_.ready(executor->id(), info.config.priority);
  return {};
}

std::optional<ReplicaView> Runtime::look(std::string_view name, ConversationKey key) const {
  const auto known = table_.row(name);
  if (!known) return std::nullopt;
  const auto activity = active_.activity(known->id);
  if (!activity || activity->door == Activity::Door::kShut) return std::nullopt;
  return ReplicaView{.id = known->id,
                     .priority = known->config.priority,
                     .full = activity->requests >= config_.queue_max || activity->suspended,
                     .outstanding_seconds = activity->estimated_seconds,
                     .seconds_per_prompt_token = known->stats->seconds_per_prompt_token.load(),
                     .seconds_per_output_token = known->stats->seconds_per_output_token.load(),
                     .reusable_tokens = known->executor && known->executor->kept().holds(key)
                                            ? kConversationTokens
                                            : 0};
}

Result<std::int32_t> Runtime::spread_queues(const std::vector<std::string>& names) {
  std::map<ExecutorId, std::shared_ptr<Executor>> executors;
  std::vector<QueueView> queues;
  for (const std::string& name : names) {
    const auto executor = table_.loaded(name);
    if (!executor || executor->suspended()) continue;
    auto queue = in_turn(lanes_, *executor, [](Executor& e) { return e.queue(); });
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
    const auto given =
        in_turn(lanes_, *from, [&](Executor& e) { return active_.move_queued(e, to, move.count); });
    if (!given) continue;
    moved += *given;
    lanes_.ready(to->id(), Priority::kCritical);
  }
  return moved;
}

}  // namespace choir
