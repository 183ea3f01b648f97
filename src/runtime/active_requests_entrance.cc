// Who may come in.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "runtime/active_requests.h"

namespace choir {
namespace {

tl::unexpected<Error> shutting_down() {
  return fail(Code::kCancelled, "the node is shutting down");
}

}  // namespace

Status ActiveRequests::not_draining() const {
  if (!draining_.load()) return {};
  return fail(Code::kDraining,
              "the node's door is closed: it takes no new work and ends what it "
              "has; use another node");
}

Status ActiveRequests::not_closing() const {
  if (!state_.with([](const State& s) { return s.closing; })) return {};
  return shutting_down();
}

Result<const ActiveRequests::InExecutor*> ActiveRequests::entrance(const State& s, ExecutorId id,
                                                                   const std::string& name) const {
  if (s.closing) return shutting_down();
  CHOIR_CHECK_OK(not_draining());
  const auto found = s.by_executor.find(id);
  if (found == s.by_executor.end()) return nullptr;  // moved or removed
  if (found->second.door == Activity::Door::kShut)
    return fail(Code::kNotFound, "executor '" + name + "' is being removed");
  return &found->second;
}

std::optional<Result<ActiveRequests::Entry>> ActiveRequests::at_door(
    const State& s, const Executor& executor) const {
  const auto in = entrance(s, executor.id(), executor.name());
  if (!in) return tl::unexpected(in.error());
  if (*in == nullptr) return Entry::kAgain;
  if ((*in)->door == Activity::Door::kAway) return std::nullopt;
  return table_.loaded(executor.name()).get() == &executor ? Entry::kIn : Entry::kAgain;
}

Status ActiveRequests::has_room(InExecutor& executor, const std::string& name,
                                const RequestState& request, std::size_t count) const {
  const auto queue_max = static_cast<std::int32_t>(rules_.queue_max);
  const auto facts = [&] {
    return std::vector<Fact>{Fact::of("waiting", executor.requests),
                             Fact::of("queue_max", queue_max)};
  };
  const std::string together =
      count == 1 ? "" : ", and " + std::to_string(count) + " come together";
  if (count > rules_.queue_max)
    return fail(Code::kInvalidArgument,
                std::to_string(count) + " requests come together, '" + name + "' takes at most " +
                    std::to_string(queue_max),
                {Fact::of("value", count), Fact::of("limit", queue_max)});
  const auto more = static_cast<std::int32_t>(count);
  if (executor.requests > queue_max - more) {
    executor.shares.turned_away(request.tenant, request.tenant_weight, clock_.now());
    return fail(Code::kOverloaded,
                "'" + name + "' has " + std::to_string(executor.requests) + " requests, at most " +
                    std::to_string(queue_max) + " may wait or run" + together + "; try again later",
                facts());
  }
  const std::int32_t own = executor.shares.requests(request.tenant);
  if (own + more <= std::min(queue_max / 2, kQueueShareMin)) return {};  // whoever else is there
  const std::int32_t share =
      executor.shares.share(request.tenant, request.tenant_weight, queue_max, clock_.now());
  if (own + more <= share) return {};
  auto all = facts();
  all.push_back(Fact::of("tenant_waiting", own));
  all.push_back(Fact::of("tenant_share", share));
  return fail(Code::kOverloaded,
              "tenant '" + request.tenant + "' has " + std::to_string(own) + " requests in '" +
                  name + "', beside other tenants it may have " + std::to_string(share) + " of " +
                  std::to_string(queue_max) + together + "; try again later",
              std::move(all));
}

void ActiveRequests::count_in(State& s, InExecutor& executor,
                              const std::shared_ptr<RequestState>& request) {
  ++executor.requests;
  executor.shares.came(request->tenant, request->tenant_weight);
  executor.estimated_seconds += request->estimated_seconds;
  executor.last_used = clock_.now();
  s.requests.emplace(request->id, request);
  directory_->enter(request);
}

// Counted and posted under one lock: who empties the executor finds it in the mailbox, or nowhere.
// The mailbox has room for as many as are counted, and for those that are just being told their
// end.
template <class Items, class Post>
std::optional<Result<ActiveRequests::Entry>> ActiveRequests::enlist(State& s, Executor& executor,
                                                                    const Items& items, Post post) {
  auto entry = at_door(s, executor);
  if (!entry || !*entry || **entry == Entry::kAgain) return entry;
  InExecutor& activity = s.by_executor.at(executor.id());
  if (Status room = has_room(activity, executor.name(), *items.front().request, items.size());
      !room)
    return tl::unexpected(std::move(room).error());
  for (const auto& item : items) count_in(s, activity, item.request);
  if (!post()) {
    for (const auto& item : items) uncount(s, *item.request);
    return fail(Code::kOverloaded,
                "'" + executor.name() + "' has as many requests waiting as it may; try again later",
                {Fact::of("waiting", activity.requests), Fact::of("queue_max", rules_.queue_max)});
  }
  next_request(s);
  return Entry::kIn;
}

Result<ActiveRequests::Entry> ActiveRequests::wait_enlist(Executor& executor,
                                                          std::span<Executor::Mail> mail) {
  return *state_.wait(
      [&](State& s) { return enlist(s, executor, mail, [&] { return executor.post_all(mail); }); });
}

std::optional<Result<ActiveRequests::Entry>> ActiveRequests::enlist(
    State& s, Executor& executor, const std::shared_ptr<RequestState>& request) {
  struct Item {
    const std::shared_ptr<RequestState>& request;
  };
  const std::array<Item, 1> one = {Item{request}};
  return enlist(s, executor, one, [&] { return executor.embeddings().post(request); });
}

Result<ActiveRequests::Entry> ActiveRequests::wait_enlist(
    Executor& executor, const std::shared_ptr<RequestState>& request) {
  return *state_.wait([&](State& s) { return enlist(s, executor, request); });
}

std::optional<Result<ActiveRequests::Entry>> ActiveRequests::enlist(
    Executor& executor, const std::shared_ptr<RequestState>& request) {
  return state_.with([&](State& s) { return enlist(s, executor, request); });
}

std::optional<Result<ActiveRequests::Entry>> ActiveRequests::enlist(
    Executor& executor, std::span<Executor::Mail> mail) {
  return state_.with(
      [&](State& s) { return enlist(s, executor, mail, [&] { return executor.post_all(mail); }); });
}

}  // namespace choir
