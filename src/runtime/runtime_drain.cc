// A node that is to end: it takes no new work and waits for the end of what it has.
#include <algorithm>

#include "runtime/runtime.h"

namespace choir {

// Wakes those who wait for an executor that is away, or for their turn: they are refused as well.
void Runtime::close_door() {
  active_.change([&](Active&) { draining_.store(true); });
}

Status Runtime::door_is_open() const {
  if (!draining_.load()) return {};
  return fail(Code::kDraining,
              "the node's door is closed: it takes no new work and ends what it "
              "has; use another node");
}

Status Runtime::wait_idle() {
  CHOIR_CHECK_OK(refuse_inside_callback("wait_idle()", "on_done"));
  active_.wait([](const Active& a) { return a.idle(); });
  return {};
}

Status Runtime::wait_idle(std::chrono::milliseconds most) {
  CHOIR_CHECK_OK(refuse_inside_callback("wait_idle()", "on_done"));
  const std::chrono::milliseconds none{0};
  const Instant end = clock_.now() + std::clamp(most, none, kDeadlineMax);
  if (active_.wait_until(clock_, end, [](const Active& a) { return a.idle(); })) return {};
  return active_.with([&](const Active& a) -> Status {
    if (a.idle()) return {};
    std::int32_t suspended = 0;
    for (const auto& [id, activity] : a.by_executor)
      if (activity.suspended) suspended += activity.requests;
    return fail(
        Code::kDeadlineExceeded,
        "after " + std::to_string(std::max(most, none).count()) + " ms " +
            std::to_string(a.requests.size()) + " requests and " + std::to_string(a.embeddings) +
            " embeddings are still active, " + std::to_string(suspended) +
            " of the requests in suspended executors; cancel them, or wait longer",
        {Fact::of("active_requests", a.requests.size()),
         Fact::of("active_embeddings", a.embeddings), Fact::of("suspended_requests", suspended)});
  });
}

}  // namespace choir
