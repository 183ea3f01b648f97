#include "base/sleepers.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace choir {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t),
              "the kernel looks at the count itself");

// The kernel compares and sleeps in one step. Why it returned does not matter: the caller looks.
void Sleepers::sleep(std::uint32_t seen, std::chrono::nanoseconds most) {
  if (most.count() <= 0) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(most);
  const std::timespec left{.tv_sec = seconds.count(), .tv_nsec = (most - seconds).count()};
  const bool for_ever = most == std::chrono::nanoseconds::max();
  (void)syscall(SYS_futex, &changes_, FUTEX_WAIT_PRIVATE, seen, for_ever ? nullptr : &left, nullptr,
                0);
}

void Sleepers::wake_all() {
  // One that sleeps, or is about to, counted itself under the lock that was taken for the change.
  if (asleep_.load() == 0) return;
  changes_.fetch_add(1);
  (void)syscall(SYS_futex, &changes_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace choir
