// Requests that are accepted before their executor takes them.
#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <utility>

#include "base/check.h"
#include "runtime/active_requests.h"

namespace choir {

template <class Over>
std::vector<Arrival> ActiveRequests::take_out(InExecutor& executor, Over over) {
  auto& all = executor.arrivals;
  const auto out =
      std::stable_partition(all.begin(), all.end(), [&](const Arrival& a) { return !over(a); });
  std::vector<Arrival> taken(std::make_move_iterator(out), std::make_move_iterator(all.end()));
  all.erase(out, all.end());
  return taken;
}

Result<ActiveRequests::Entry> ActiveRequests::hold(const ExecutorRow& row,
                                                   std::span<Arrival> arrivals) {
  return state_.with([&](State& s) -> Result<Entry> {
    if (CHOIR_TRY(entrance(s, row.id, row.config.name)) == nullptr) return Entry::kAgain;
    InExecutor& executor = s.by_executor.at(row.id);
    if (executor.frozen)
      return fail(Code::kNotFound,
                  "executor '" + row.config.name + "' is just moving to another node");
    CHOIR_CHECK_OK(has_room(executor, row.config.name, *arrivals.front().request, arrivals.size()));
    bool ready = false;
    for (Arrival& arrival : arrivals) {
      count_in(s, executor, arrival.request);
      ++executor.arriving;
      ready = ready || !arrival.late.awaited;
      executor.arrivals.push_back(std::move(arrival));
    }
    count_shown();
    if (ready && executor.door == Activity::Door::kOpen) rules_.arrived(row.id);
    return Entry::kIn;
  });
}

bool ActiveRequests::has_arrivals(ExecutorId id) const {
  return state_.with([&](const State& s) {
    const auto found = s.by_executor.find(id);
    return found != s.by_executor.end() && found->second.arriving > 0;
  });
}

std::vector<Arrival> ActiveRequests::take_arrivals(ExecutorId id) {
  return state_.with([&](State& s) {
    std::vector<Arrival> taken;
    const auto found = s.by_executor.find(id);
    if (found == s.by_executor.end() || found->second.door == Activity::Door::kAway) return taken;
    taken = take_out(found->second, [](const Arrival& a) { return !a.late.awaited; });
    found->second.admitting += static_cast<std::int32_t>(taken.size());
    return taken;
  });
}

bool ActiveRequests::open(const RequestState& request, const Opener& open) {
  return state_.with([&](State& s) {
    const auto known = s.requests.find(request.id);
    if (known == s.requests.end() || !is_here(request)) return false;
    const auto at = s.by_executor.find(request.executor());
    if (at == s.by_executor.end()) return false;
    InExecutor& executor = at->second;
    if (executor.frozen) {
      executor.late_calls.emplace_back(
          [state = known->second, open] { open_wherever_it_is(*state, open); });
      return true;
    }
    const auto arrival = std::ranges::find(executor.arrivals, request.id,
                                           [](const Arrival& a) { return a.request->id; });
    if (arrival == executor.arrivals.end()) return true;  // it has just ended
    arrival->late = {.open = open, .awaited = false};
    if (executor.door != Activity::Door::kAway) rules_.arrived(at->first);
    return true;
  });
}

bool ActiveRequests::refuse(const RequestState& request, const Error& error) {
  const ExecutorId id = request.executor();
  std::vector<Arrival> refused;
  const bool here = state_.with([&](State& s) {
    const auto known = s.requests.find(request.id);
    const auto at = s.by_executor.find(id);
    if (known == s.requests.end() || request.place() != RequestPlace{link(), id} ||
        at == s.by_executor.end())
      return false;
    if (at->second.frozen) {
      at->second.late_calls.emplace_back(
          [state = known->second, error] { refuse_wherever_it_is(*state, error); });
      return true;
    }
    refused = take_out(at->second, [&](const Arrival& a) { return a.request->id == request.id; });
    at->second.arriving -= static_cast<std::int32_t>(refused.size());
    if (!refused.empty()) count_shown();
    return true;
  });
  for (const Arrival& arrival : refused)
    end_without_executor(id, arrival.request, Finish::kFailed, error);
  return here;
}

template <class Post>
void ActiveRequests::let_in(Executor& executor, const std::shared_ptr<RequestState>& request,
                            const Error* error, Post post) {
  const Priority priority = request->priority;
  state_.change([&](State& s) {
    InExecutor& activity = s.by_executor.at(executor.id());
    --activity.admitting;
    --activity.arriving;
    count_shown();
    request->awaited.store(false);
    request->progress.held_seconds.store(to_seconds(clock_.now() - request->submitted));
    if (error == nullptr) CHOIR_CHECK(post(), "an executor takes mail until its end");
    next_request(s);
  });
  if (error == nullptr) return lanes_.ready(executor.id(), priority);
  end_without_executor(executor.id(), request, Finish::kFailed, *error);
}

void ActiveRequests::admit(Executor& executor, const std::shared_ptr<RequestState>& request,
                           Result<Executor::Mail> mail) {
  let_in(executor, request, mail ? nullptr : &mail.error(),
         [&] { return executor.post_accepted(std::move(*mail)); });
}

void ActiveRequests::admit_embedding(Executor& executor,
                                     const std::shared_ptr<RequestState>& request, Status made) {
  let_in(executor, request, made ? nullptr : &made.error(),
         [&] { return executor.embeddings().post_accepted(request); });
}

void ActiveRequests::fail_arrivals(ExecutorId id, const Error& error) {
  const auto failed = state_.with([&](State& s) {
    std::vector<Arrival> all;
    const auto found = s.by_executor.find(id);
    if (found == s.by_executor.end()) return all;
    all.swap(found->second.arrivals);
    found->second.arriving -= static_cast<std::int32_t>(all.size());
    if (!all.empty()) count_shown();
    return all;
  });
  for (const Arrival& arrival : failed)
    end_without_executor(id, arrival.request, Finish::kFailed, error);
}

void ActiveRequests::end_arrivals(ExecutorId id) {
  const Instant now = clock_.now();
  std::optional<Instant> next;
  const auto over = state_.with([&](State& s) {
    std::vector<Arrival> out;
    const auto found = s.by_executor.find(id);
    if (found == s.by_executor.end()) return out;
    out = take_out(found->second, [&](const Arrival& a) {
      const Instant deadline = a.request->deadline;
      return a.request->cancelled.load() || (deadline != Instant{} && now >= deadline);
    });
    found->second.arriving -= static_cast<std::int32_t>(out.size());
    if (!out.empty()) count_shown();
    for (const Arrival& left : found->second.arrivals)
      if (const Instant at = left.request->deadline; at != Instant{})
        next = next ? std::min(*next, at) : at;
    return out;
  });
  if (next) rules_.look_at_arrivals(id, *next);
  for (const Arrival& arrival : over) {
    const RequestState& request = *arrival.request;
    if (request.cancelled.load())
      end_without_executor(id, arrival.request, Finish::kCancelled,
                           {Code::kCancelled, "the request was cancelled"});
    else
      end_without_executor(
          id, arrival.request, Finish::kDeadline,
          {Code::kDeadlineExceeded,
           "deadline exceeded: the request had " +
               std::to_string((request.deadline - request.submitted) /
                              std::chrono::milliseconds(1)) +
               " ms, and " +
               (arrival.late.awaited ? "an earlier turn of its conversation had not ended"
                                     : "its executor was not in memory")});
  }
}

void ActiveRequests::end_without_executor(ExecutorId id,
                                          const std::shared_ptr<RequestState>& request,
                                          Finish finish, Error error) const {
  Completion completion;
  completion.id = request->id;
  completion.finish = finish;
  completion.error = std::move(error);
  completion.usage.prompt_tokens = request->progress.prompt_tokens.load();
  completion.usage.total_seconds = to_seconds(clock_.now() - request->submitted);
  completion.usage.queue_seconds = completion.usage.held_seconds = completion.usage.total_seconds;
  if (const auto row = table_.row(id)) {
    completion.executor = row->config.name;
    row->stats->requests_done.fetch_add(1, std::memory_order_relaxed);
    row->stats->requests_failed.fetch_add(1, std::memory_order_relaxed);
  }
  request->finish(std::move(completion));
  rules_.notify(request);
}

}  // namespace choir
