#include "runtime/active_requests.h"

#include <algorithm>
#include <tuple>

namespace choir {

ActiveRequests::ActiveRequests(const ExecutorTable& table, Lanes& lanes, const Observing& observing,
                               const Clock& clock, Rules rules)
    : table_(table),
      lanes_(lanes),
      observing_(observing),
      clock_(clock),
      rules_(std::move(rules)) {}

ActiveRequests::~ActiveRequests() {
  link()->close();  // dispatchers of other nodes tell ends of requests that came from here
  state_.with([&](State& s) {
    for (const auto& [id, state] : s.requests) directory_->leave(id);
  });
}

void ActiveRequests::close() {
  state_.change([&](State& s) {
    s.closing = true;
    count_shown();
  });
}

// Wakes the threads that wait for an executor that is away, or for their turn: they are refused as
// well.
void ActiveRequests::drain() {
  state_.change([&](State&) {
    draining_.store(true);
    count_shown();
  });
}

std::int32_t ActiveRequests::count() const {
  return state_.with([](const State& s) { return static_cast<std::int32_t>(s.requests.size()); });
}

void ActiveRequests::wait_idle() {
  state_.wait([](const State& s) { return s.idle(); });
}

std::optional<ActiveRequests::Left> ActiveRequests::wait_idle_until(Instant end) {
  if (state_.wait_until(clock_, end, [](const State& s) { return s.idle(); })) return std::nullopt;
  return state_.with([&](const State& s) -> std::optional<Left> {
    if (s.idle()) return std::nullopt;
    Left left;
    for (const auto& [id, request] : s.requests)
      ++(request->embedding ? left.embeddings : left.requests);
    for (const auto& [id, activity] : s.by_executor)
      if (activity.suspended) left.suspended += activity.requests;
    return left;
  });
}

void ActiveRequests::wait_no_requests_until(Instant end) {
  state_.wait_until(clock_, end, [](const State& s) { return s.requests.empty(); });
}

void ActiveRequests::set_one_request(bool one) {
  state_.change([&](State& s) {
    rules_.node->one_request.store(one);
    next_request(s);
  });
}

void ActiveRequests::open(ExecutorId id, Activity::Door door) {
  state_.with([&](State& s) {
    InExecutor& executor = s.by_executor[id];
    executor.last_used = clock_.now();
    executor.door = door;
  });
}

void ActiveRequests::forget(ExecutorId id) {
  state_.change([&](State& s) { s.by_executor.erase(id); });
}

std::optional<Activity> ActiveRequests::activity(ExecutorId id) const {
  return state_.with([&](const State& s) -> std::optional<Activity> {
    const auto found = s.by_executor.find(id);
    return found == s.by_executor.end() ? std::nullopt : std::optional<Activity>(found->second);
  });
}

std::map<ExecutorId, Activity> ActiveRequests::activities() const {
  return state_.with([](const State& s) {
    std::map<ExecutorId, Activity> all;
    for (const auto& [id, activity] : s.by_executor) all.emplace(id, activity);
    return all;
  });
}

Status ActiveRequests::close_door(const ExecutorRow& row, bool busy_too) {
  return close_door(row, busy_too ? Heed::kNothing : Heed::kRequests);
}

Status ActiveRequests::close_door_of_unused(const ExecutorRow& row) {
  return close_door(row, Heed::kClaims);
}

Status ActiveRequests::close_door(const ExecutorRow& row, Heed heed) {
  // Arrivals that are just being handed over are in it, or waiting again, when it leaves.
  return *state_.wait([&](State& s) -> std::optional<Status> {
    const auto found = s.by_executor.find(row.id);
    if (found == s.by_executor.end() || found->second.door != Activity::Door::kOpen)
      return fail(Code::kNotFound, "executor '" + row.config.name + "' is just leaving");
    if (heed == Heed::kClaims && found->second.claims > 0)
      return fail(Code::kOverloaded, "executor '" + row.config.name + "' is just wanted");
    if (heed != Heed::kNothing && found->second.requests > 0)
      return fail(Code::kOverloaded, "executor '" + row.config.name + "' has " +
                                         std::to_string(found->second.requests) +
                                         " active requests; cancel them or let them end first");
    if (found->second.admitting > 0) return std::nullopt;
    found->second.door = Activity::Door::kAway;
    return Status{};
  });
}

void ActiveRequests::open_door(ExecutorId id) {
  state_.change([&](State& s) {
    const auto found = s.by_executor.find(id);
    if (found == s.by_executor.end()) return;
    found->second.door = Activity::Door::kOpen;
    if (!found->second.arrivals.empty()) rules_.arrived(id);
  });
}

ActiveRequests::Claim ActiveRequests::claim(ExecutorId id) {
  const auto count = [this, id](std::int32_t by) {
    state_.with([&](State& s) {
      const auto found = s.by_executor.find(id);
      if (found == s.by_executor.end()) return;
      found->second.claims += by;
      if (by < 0) tell_if_unused(id, found->second);
    });
  };
  count(1);
  return {nullptr, [count](std::nullptr_t) { count(-1); }};
}

void ActiveRequests::touch(ExecutorId id) {
  state_.with([&](State& s) {
    const auto found = s.by_executor.find(id);
    if (found != s.by_executor.end()) found->second.last_used = clock_.now();
  });
}

void ActiveRequests::tell_if_unused(ExecutorId id, const Activity& activity) const {
  if (activity.unused()) rules_.unused(id);
}

bool ActiveRequests::wait_shut(const ExecutorRow& row, bool suspend) {
  return *state_.wait([&](State& s) -> std::optional<bool> {
    const auto found = s.by_executor.find(row.id);
    if (found == s.by_executor.end() || found->second.door == Activity::Door::kShut) return false;
    if (found->second.door == Activity::Door::kAway) return std::nullopt;
    found->second.door = Activity::Door::kShut;
    if (suspend) {
      found->second.suspended = true;
      count_shown();
      if (const auto executor = table_.loaded(row.id)) executor->suspend();
    }
    return true;
  });
}

void ActiveRequests::wait_while_away(ExecutorId id) {
  state_.wait([&](const State& s) {
    const auto found = s.by_executor.find(id);
    return s.closing || found == s.by_executor.end() || found->second.door != Activity::Door::kAway;
  });
}

void ActiveRequests::wait_empty(ExecutorId id) {
  state_.wait([&](const State& s) {
    const auto found = s.by_executor.find(id);
    return found == s.by_executor.end() || found->second.requests == 0;
  });
}

void ActiveRequests::wait_none_in(ExecutorId id) {
  state_.wait([&](const State& s) {
    return std::ranges::none_of(s.requests, [&](const auto& entry) {
      return entry.second->place() == RequestPlace{link(), id};
    });
  });
}

void ActiveRequests::heed_suspend(Executor& executor) const {
  state_.with([&](const State& s) {
    const auto found = s.by_executor.find(executor.id());
    if (found != s.by_executor.end() && found->second.suspended)
      executor.suspend();
    else
      executor.resume();
  });
}

void ActiveRequests::uncount(State& s, const RequestState& request) {
  if (s.requests.erase(request.id) == 0) return;
  directory_->leave(request.id);
  if (const auto found = s.by_executor.find(request.executor()); found != s.by_executor.end()) {
    InExecutor& activity = found->second;
    --activity.requests;
    activity.shares.left(request.tenant);
    activity.estimated_seconds =
        activity.requests == 0 ? 0 : activity.estimated_seconds - request.estimated_seconds;
    activity.last_used = clock_.now();
    tell_if_unused(found->first, activity);
  }
}

void ActiveRequests::strike(const RequestState& request) {
  state_.change([&](State& s) {
    uncount(s, request);
    next_request(s);
  });
}

void ActiveRequests::next_request(State& s) {
  NodeRules& rules = *rules_.node;
  if (!rules.one_request.load()) return;
  const auto can_run = [&](const RequestState& state) {
    const auto found = s.by_executor.find(state.executor());
    return !state.awaited.load() && is_here(state) && found != s.by_executor.end() &&
           !found->second.suspended && !found->second.frozen;
  };
  const auto current = s.requests.find(rules.turn_of.load());
  if (current != s.requests.end() && can_run(*current->second)) return;
  const RequestState* best = nullptr;
  for (const auto& [id, state] : s.requests)
    if (can_run(*state) &&
        (best == nullptr || std::tie(state->priority, state->submitted, state->id) <
                                std::tie(best->priority, best->submitted, best->id)))
      best = state.get();
  rules.turn_of.store(best == nullptr ? RequestId{} : best->id);
  if (best != nullptr) lanes_.ready(best->executor(), best->priority);
}

// A job about requests changes what may run where one request runs at a time.
RequestJob ActiveRequests::and_next_request(RequestJob job) {
  return [this, job = std::move(job)](Executor& e) {
    job(e);
    state_.with([&](State& s) { next_request(s); });
  };
}

std::vector<std::shared_ptr<RequestState>> ActiveRequests::requests(
    std::optional<ExecutorId> only) const {
  auto states = state_.with([&](const State& s) {
    std::vector<std::shared_ptr<RequestState>> all;
    all.reserve(s.requests.size());
    for (const auto& [id, state] : s.requests)
      if (is_here(*state) && (!only || state->executor() == *only)) all.push_back(state);
    return all;
  });
  std::ranges::sort(states, {}, [](const auto& state) { return state->id; });
  return states;
}

void ActiveRequests::cancel_all(std::optional<ExecutorId> only) {
  const auto states = requests(only);
  for (const auto& state : states) state->cancelled.store(true);  // all before the next pass
  for (const auto& state : states) cancel_wherever_it_is(*state);
}

void ActiveRequests::drained(const RequestState& request) {
  if (!request.held_back.load() || !is_here(request)) return;
  const auto executor = table_.loaded(request.executor());
  if (!executor) return;
  executor->look_at(request.id);
  lanes_.ready(executor->id(), Priority::kNormal);
}

void ActiveRequests::ended(const RequestState& request, const Completion& completion) {
  observing_.ended(request, completion);
  strike(request);
}

void ActiveRequests::cancelled(const RequestState& request) {
  if (!is_here(request)) return;
  end_arrivals(request.executor());
  const auto executor = table_.loaded(request.executor());
  if (!executor) return;
  executor->interrupt(request.id);
  lanes_.ready(executor->id(), Priority::kCritical);  // a turn that ends work costs none
}

bool ActiveRequests::post(const RequestState& request, const RequestJob& job) {
  std::shared_ptr<Executor> executor;
  const bool here = state_.with([&](State& s) {
    const auto known = s.requests.find(request.id);
    if (known == s.requests.end() || !is_here(request) || request.finished()) return false;
    const auto at = s.by_executor.find(request.executor());
    if (at == s.by_executor.end()) return false;
    executor = table_.loaded(at->first);
    if (executor && executor->post_job(and_next_request(job))) return true;
    executor = nullptr;
    at->second.late_calls.emplace_back(
        [state = known->second, job] { post_wherever_it_is(*state, job); });
    return true;
  });
  if (executor) lanes_.ready(executor->id(), Priority::kCritical);
  return here;
}

}  // namespace choir
