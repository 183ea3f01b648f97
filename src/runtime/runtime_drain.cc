// A node that is to end: it takes no new work and waits for the end of what it has.
#include <algorithm>

#include "runtime/runtime.h"

namespace choir {

Status Runtime::wait_idle() {
  CHOIR_CHECK_OK(refuse_inside_callback("wait_idle()", "on_done"));
  active_.wait_idle();
  return {};
}

Status Runtime::wait_idle(std::chrono::milliseconds most) {
  CHOIR_CHECK_OK(refuse_inside_callback("wait_idle()", "on_done"));
  const std::chrono::milliseconds none{0};
  const Instant end = clock_.now() + std::clamp(most, none, kDeadlineMax);
  const auto left = active_.wait_idle_until(end);
  if (!left) return {};
  return fail(
      Code::kDeadlineExceeded,
      "after " + std::to_string(std::max(most, none).count()) + " ms " +
          std::to_string(left->requests) + " requests and " + std::to_string(left->embeddings) +
          " embeddings are still active, " + std::to_string(left->suspended) +
          " of them in suspended executors; cancel them, or wait longer",
      {Fact::of("active_requests", left->requests), Fact::of("active_embeddings", left->embeddings),
       Fact::of("suspended_requests", left->suspended)});
}

}  // namespace choir
