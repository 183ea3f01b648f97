// Requests that go from one executor to another, in this node or to another one.
#include <functional>
#include <utility>

#include "base/check.h"
#include "runtime/active_requests.h"

namespace choir {

template <class Both>
void ActiveRequests::in_both(ActiveRequests& one, ActiveRequests& other, Both both) {
  if (std::less<>()(&one, &other))
    one.state_.change([&](State& a) { other.state_.change([&](State& b) { both(a, b); }); });
  else
    other.state_.change([&](State& b) { one.state_.change([&](State& a) { both(a, b); }); });
}

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

void ActiveRequests::hand_over(ExecutorId from, Executor::Belongings belongings, ActiveRequests& to,
                               Executor& heir) {
  in_both(*this, to, [&](State& mine, State& theirs) {
    InExecutor& source = mine.by_executor.at(from);
    InExecutor& target = theirs.by_executor.at(heir.id());
    const auto move = [&](const std::shared_ptr<RequestState>& state) {
      mine.requests.erase(state->id);
      theirs.requests.emplace(state->id, state);
      --source.requests;
      ++target.requests;
      source.shares.left(state->tenant);
      target.shares.came(state->tenant, state->tenant_weight);
      target.estimated_seconds += state->estimated_seconds;
      if (theirs.closing) state->cancelled.store(true);
      state->move_to(to, heir.id());
    };
    for (const auto& live : belongings.live) move(live->request);
    for (const auto& state : belongings.embeddings) move(state);
    for (Arrival& arrival : source.arrivals) {
      move(arrival.request);
      target.arrivals.push_back(std::move(arrival));
    }
    target.arriving += std::exchange(source.arriving, 0);
    source.arrivals.clear();
    target.suspended = source.suspended && !theirs.closing;
    if (target.suspended) heir.suspend();
    target.door = Activity::Door::kOpen;
    auto all = std::make_shared<Executor::Belongings>(std::move(belongings));
    const bool adopted = heir.post_job([all](Executor& e) { e.adopt(std::move(*all)); });
    CHOIR_CHECK(adopted, "its door was closed to all others");
    for (RequestJob& job : source.jobs)
      CHOIR_CHECK(heir.post_job(to.and_next_request(std::move(job))), "as above");
    source.jobs.clear();
    source.handed_over = true;
    if (target.arriving > 0) to.rules_.arrived(heir.id());
    next_request(mine);
    to.next_request(theirs);
  });
}

}  // namespace choir
