// Requests that go from one executor to another, in this node or to another one.
#include <iterator>
#include <utility>

#include "base/check.h"
#include "runtime/active_requests.h"

namespace choir {

std::int32_t ActiveRequests::move_queued(Executor& from, const std::shared_ptr<Executor>& to,
                                         std::int32_t count) {
  return state_.with([&](State& s) -> std::int32_t {
    const auto source = s.by_executor.find(from.id());
    const auto heir = s.by_executor.find(to->id());
    // Under the lock that closes doors: what is posted here is still taken.
    if (source == s.by_executor.end() || heir == s.by_executor.end() ||
        heir->second.door != Activity::Door::kOpen || table_.loaded(to->id()) != to)
      return 0;
    const auto live = std::make_shared<std::vector<std::unique_ptr<LiveSequence>>>(
        from.give_up(count, to->sequence_tokens_max()));
    const auto given = static_cast<std::int32_t>(live->size());
    for (const auto& l : *live) {
      source->second.estimated_seconds -= l->request->estimated_seconds;
      heir->second.estimated_seconds += l->request->estimated_seconds;
      source->second.shares.left(l->request->tenant);
      heir->second.shares.came(l->request->tenant, l->request->tenant_weight);
      l->request->move_to(*this, to->id());
    }
    source->second.requests -= given;
    heir->second.requests += given;
    if (given > 0) tell_if_unused(source->first, source->second);
    const bool posted = to->post_job([live](Executor& adopter) {
      adopter.adopt({.live = std::move(*live), .kept = {}, .embeddings = {}});
    });
    CHOIR_CHECK(posted, "an executor whose door is open takes jobs");
    return given;
  });
}

ActiveRequests::Withheld ActiveRequests::freeze(ExecutorId id) {
  return state_.change([&](State& s) {
    InExecutor& source = s.by_executor.at(id);
    source.frozen = true;
    source.arriving -= static_cast<std::int32_t>(source.arrivals.size());
    count_shown();
    next_request(s);
    return Withheld{.arrivals = std::exchange(source.arrivals, {}), .suspended = source.suspended};
  });
}

void ActiveRequests::thaw(ExecutorId id, std::vector<Arrival> arrivals) {
  const auto late_calls = state_.change([&](State& s) {
    InExecutor& source = s.by_executor.at(id);
    source.frozen = false;
    source.door = Activity::Door::kOpen;
    source.arriving += static_cast<std::int32_t>(arrivals.size());
    source.arrivals = std::move(arrivals);
    count_shown();
    if (source.arriving > 0) rules_.arrived(id);
    next_request(s);
    return std::exchange(source.late_calls, {});
  });
  for (const auto& call : late_calls) call();
}

void ActiveRequests::hand_over(ExecutorId id, const std::vector<RequestId>& requests) {
  std::vector<std::shared_ptr<RequestState>> gone;  // the last to hold one that has ended there
  const auto late_calls = state_.change([&](State& s) {
    InExecutor& source = s.by_executor.at(id);
    for (const RequestId request : requests) {
      const auto found = s.requests.find(request);
      if (found == s.requests.end()) continue;
      source.shares.left(found->second->tenant);
      gone.push_back(std::move(found->second));
      s.requests.erase(found);
      --source.requests;
    }
    next_request(s);
    return std::exchange(source.late_calls, {});
  });
  for (const auto& call : late_calls) call();
}

void ActiveRequests::adopt(Executor& heir, Adopted adopted, const RequestJob& take_in) {
  state_.change([&](State& s) {
    InExecutor& target = s.by_executor.at(heir.id());
    const auto come = [&](const std::shared_ptr<RequestState>& request) {
      s.requests.emplace(request->id, request);
      ++target.requests;
      target.shares.came(request->tenant, request->tenant_weight);
      target.estimated_seconds += request->estimated_seconds;
      if (s.closing) request->cancelled.store(true);
      request->move_to(*this, heir.id());
    };
    for (const auto& request : adopted.computed) come(request);
    for (const Arrival& arrival : adopted.arrivals) come(arrival.request);
    target.arriving += static_cast<std::int32_t>(adopted.arrivals.size());
    // Before the requests that came here too early.
    target.arrivals.insert(target.arrivals.begin(),
                           std::make_move_iterator(adopted.arrivals.begin()),
                           std::make_move_iterator(adopted.arrivals.end()));
    target.suspended = adopted.suspended && !s.closing;
    if (target.suspended) heir.suspend();
    count_shown();
    target.door = Activity::Door::kOpen;
    CHOIR_CHECK(heir.post_job(take_in), "its door was closed to all others");
    if (target.arriving > 0) rules_.arrived(heir.id());
    next_request(s);
  });
}

}  // namespace choir
