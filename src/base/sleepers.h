// What threads sleep on that wait for a change, and what wakes them; a part of Monitor
// (base/guarded.h), which has the lock and the state.
//
// Not std::condition_variable: that of glibc 2.36 lets the thread that wakes others wait for those
// that it woke before and that have had no core since (pthread_cond_broadcast, its two groups of
// waiters). Beside a busy process that is some milliseconds, in calls that say they never wait.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace choir {

// An event count: who wants to sleep notes the count under the lock of the state, gives the lock
// back, and sleeps only if nobody has counted on meanwhile. Any thread.
class Sleepers {
 public:
  // Under the lock, which is given back meanwhile. May return early, as that of a condition
  // variable: the caller looks at the state again.
  template <class Lock>
  void wait(Lock& lock) {
    wait_for(lock, std::chrono::nanoseconds::max());
  }
  template <class Lock>
  void wait_for(Lock& lock, std::chrono::nanoseconds most) {
    asleep_.fetch_add(1);
    const std::uint32_t seen = changes_.load();
    lock.unlock();
    sleep(seen, most);
    asleep_.fetch_sub(1);
    lock.lock();
  }
  // After the state was changed under the lock, which the caller has given back. Never waits, and
  // is no system call where nobody sleeps.
  void wake_all();

 private:
  void sleep(std::uint32_t seen, std::chrono::nanoseconds most);

  std::atomic<std::uint32_t> changes_{0};
  std::atomic<std::uint32_t> asleep_{0};  // changed under the lock, or by one that has woken
};

}  // namespace choir
