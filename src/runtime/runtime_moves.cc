// An executor goes to another node of this process with everything that runs in it.
#include <algorithm>
#include <functional>

#include "base/check.h"
#include "runtime/runtime.h"

namespace choir {
template <class Both>
void Runtime::in_both(Runtime& one, Runtime& other, Both both) {
  if (std::less<>()(&one, &other))
    one.active_.change([&](Active& a) { other.active_.change([&](Active& b) { both(a, b); }); });
  else
    other.active_.change([&](Active& b) { one.active_.change([&](Active& a) { both(a, b); }); });
}

Status Runtime::migrate(std::string_view name, Runtime& target,
                        const std::function<void()>& moved) {
  if (&target == this) return {};
  CHOIR_CHECK_OK(refuse_inside_callback("migrate()", "another thread"));
  const Row known = CHOIR_TRY(row(name));
  const std::string& id_text = known.config.name;
  CHOIR_CHECK_OK(target.add(
      known.config, {.stats = known.stats,
                     .compute_seconds = known.compute_seconds + lanes_.compute_seconds(known.id)}));
  // From here on nobody unloads or removes the new one, and then nobody the old one. Under the
  // lock of loads: one that is under way is either done, or will find the door closed.
  const Row row_there = CHOIR_TRY(target.row(id_text));
  std::shared_ptr<Executor> heir;
  std::shared_ptr<Executor> source;
  auto closed = [&]() -> Status {
    CHOIR_CHECK_OK(target.close_door(row_there, false));
    heir = target.loaded(id_text);
    Status ours = loading_.with([&](int&) -> Status {
      if (!heir)
        return fail(Code::kOutOfMemory,
                    "executor '" + id_text + "' had to leave the memory of its new node at once");
      CHOIR_CHECK_OK(close_door(known, true));
      // Nobody updates or resizes it any more; the new one has what it had before.
      const Row now = CHOIR_TRY(row(id_text));
      if (now.config != known.config) {
        open_door(known.id, Door::kOpen);
        return fail(Code::kOverloaded, "executor '" + id_text + "' was just changed; call again");
      }
      source = now.executor;
      lanes_.retire(now.id);
      return {};
    });
    if (!ours) target.open_door(row_there.id, Door::kOpen);
    return ours;
  }();
  if (!closed) {
    (void)target.remove(id_text, Drain::kCancel);
    return closed;
  }
  Executor::Belongings belongings;
  if (source) {
    take_from_lanes(source);
    belongings = source->extract();
    for (auto& job : source->embeddings().take_all())
      if (!heir->embeddings().post(job)) job.promise->set_value(fail(Code::kOverloaded, "no room"));
  }
  in_both(*this, target, [&](Active& mine, Active& theirs) {
    Activity& from = mine.by_executor.at(known.id);
    Activity& to = theirs.by_executor.at(heir->id());
    for (const auto& live : belongings.live) {
      const auto& state = live->request;
      mine.requests.erase(state->id);
      theirs.requests.emplace(state->id, state);
      --from.requests;
      ++to.requests;
      to.estimated_seconds += state->estimated_seconds;
      if (theirs.closing) state->cancelled.store(true);
      state->move_to(target, heir->id());
    }
    to.suspended = from.suspended && !theirs.closing;
    if (to.suspended) heir->suspend();
    to.door = Door::kOpen;
    auto all = std::make_shared<Executor::Belongings>(std::move(belongings));
    const bool adopted = heir->post_job([all](Executor& e) { e.adopt(std::move(*all)); });
    CHOIR_CHECK(adopted, "its door was closed to all others");
    for (RequestJob& job : from.jobs)
      CHOIR_CHECK(heir->post_job(target.and_next_request(std::move(job))), "as above");
    from.jobs.clear();
    next_request(mine);
    target.next_request(theirs);
  });
  target.lanes_.ready(heir->id(), Priority::kCritical);
  if (moved) moved();
  loading_.with([&](int&) {
    table_.with([&](Table& t) {
      t.by_name.erase(id_text);
      t.names.erase(known.id);
    });
    if (source) {
      give_back_bytes(*source);
      tell_left(id_text, ExecutorLeft::Why::kMoved);
    }
    active_.change([&](Active& a) { a.by_executor.erase(known.id); });
    return 0;
  });
  // Requests whose end is being told. Those told may want to come in again, which they now can.
  active_.wait([&](const Active& a) {
    return std::ranges::none_of(
        a.requests, [&](const auto& entry) { return entry.second->executor() == known.id; });
  });
  return {};
}

}  // namespace choir
