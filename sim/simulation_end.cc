// What must be so when everything is over, and between tenants all the time.
#include <algorithm>

#include "sim/simulation.h"

namespace choir::sim {

// Only while all of them have more than the executor can have begun.
void Simulation::check_tenants(const Ask& ask, const Completion& c) {
  if (options_.kind != SimKind::kTenants) return;
  tenant_tokens_[ask.request.tenant] +=
      (c.usage.prompt_tokens + c.usage.output_tokens) / ask.request.tenant_weight;
  std::map<std::string, int> left;
  for (const Ask& one : work_.asks) left[one.request.tenant] += 0;
  for (const auto& [index, asked] : asked_)
    if (asked.told == 0) ++left[asked.ask->request.tenant];
  const int slots = work_.executors.front().sequences_max;
  if (std::ranges::any_of(left, [&](const auto& l) { return l.second <= slots; })) return;
  const auto tokens_of = [&](const auto& one) { return tenant_tokens_[one.first]; };
  const auto [least, most] = std::ranges::minmax_element(left, {}, tokens_of);
  // A request has 41 tokens at most, and a weight of at least 1; what has begun is not in these
  // sums yet.
  const double bound = 41.0 * 2 * (slots + 1);
  if (tokens_of(*most) - tokens_of(*least) > bound)
    broken("tenant '" + most->first + "' is " +
           std::to_string(tokens_of(*most) - tokens_of(*least)) + " tokens by weight ahead of '" +
           least->first + "'");
}

void Simulation::check_executors() {
  for (const auto& [name, where] : where_) {
    if (!where) continue;
    Runtime& node = nodes_[*where]->runtime();
    const auto info = node.executor(name);
    if (!info) {
      broken("executor '" + name + "' is lost: " + info.error().message);
      continue;
    }
    report_.steps += info->steps;
    report_.preemptions += info->preemptions;
    report_.reused_tokens += info->reused_tokens;
    if (info->active != 0) broken("an executor counts requests that have ended");
    if (!node.in_memory(name)) continue;
    const auto executor = node.find(name);
    report_.aborts += (*executor)->stats().aborts.load();
    for (std::uint64_t talk = 1; talk <= 3; ++talk)
      (*executor)->memory().forget_kept(key_of(name, {talk}));
    (*executor)->memory().forget_cached();
    if (!(*executor)->books_balance()) broken("a running total differs from its sum at the end");
  }
  for (const FakeEngine* engine : stage_.engines)
    if (engine->cells_held() != 0) broken("an engine still holds cells at the end");
}

void Simulation::check_end() {
  report_.virtual_time = stage_.clock.now().since_start;
  for (const auto& node : nodes_) {
    if (!node) continue;
    report_.longest_wait = std::max(report_.longest_wait, node->longest_wait);
    const NodeInfo info = node->runtime().info();
    report_.layout_changes += info.lane_switches;
    if (info.requests_active != 0)
      broken(std::to_string(info.requests_active) + " requests never ended");
  }
  check_executors();
  for (auto& [index, asked] : asked_) check_request(asked);
}

// What it did not compute was in the cells of one of its scope, on whatever way they came there.
void Simulation::check_reuse(const Asked& asked) {
  const std::int32_t reused = asked.completion->usage.reused_tokens;
  if (reused == 0) return;
  std::int32_t most = 0;
  for (const auto& [index, other] : asked_) {
    if (&other == &asked || !other.completion) continue;
    if (scope_of(other.ask->request) != scope_of(asked.ask->request)) continue;
    std::vector<TokenId> known = other.ask->request.tokens;
    known.insert(known.end(), other.completion->tokens.begin(), other.completion->tokens.end());
    most = std::max(most, common_prefix(known, asked.ask->request.tokens));
  }
  if (reused > most)
    broken("request " + std::to_string(asked.ask->index) + " reused " + std::to_string(reused) +
           " tokens, its scope had " + std::to_string(most));
}

void Simulation::check_request(const Asked& asked) {
  const Ask& ask = *asked.ask;
  const std::string name = "request " + std::to_string(ask.index);
  if (!asked.completion) return broken(name + " was never told its end");
  if (asked.told != 1 || asked.settled != 1) broken(name + " was not told its end once");
  const Completion& c = *asked.completion;
  if (asked.future.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
    broken(name + " has ended and its future has not");
  check_reuse(asked);
  const std::vector<TokenId> alone = generate_alone(ask.alone, kSequenceTokensMax);
  switch (c.finish) {
    case Finish::kStop:
    case Finish::kLength:
      ++report_.finished;
      if (c.tokens != alone) broken(name + " differs from itself alone");
      break;
    case Finish::kCancelled:
      ++report_.cancelled;
      if (!asked.cancelled && !cut_.contains(c.executor)) broken(name + " was cancelled by nobody");
      break;
    case Finish::kDeadline:
      ++report_.expired;
      if (ask.request.deadline.count() == 0) broken(name + " expired without a deadline");
      break;
    case Finish::kStalled:
      ++report_.stalled;
      if (!ask.streams) broken(name + " stalled and nobody reads it");
      break;
    case Finish::kFailed:
      ++report_.failed;
      if (!options_.faults && !asked.refused && !load_failed_.contains(c.executor))
        broken(name + " failed without a fault: " + (c.error ? c.error->message : ""));
      break;
  }
  if (c.tokens.size() > alone.size() ||
      !std::equal(c.tokens.begin(), c.tokens.end(), alone.begin()))
    broken("the tokens of " + name + " are not a beginning of its own");
}

}  // namespace choir::sim
