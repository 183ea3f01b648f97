#include "base/guarded.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

namespace choir {
namespace {

TEST(Monitor, NoWakeIsLostBetweenTwoThreads) {
  constexpr int kTurns = 20'000;
  Monitor<int> turn(0);
  const auto take_turns = [&](int own) {
    for (int i = own; i < kTurns; i += 2) {
      turn.wait([&](int now) { return now == i; });
      turn.change([](int& now) { ++now; });
    }
  };
  std::thread other([&] { take_turns(1); });
  take_turns(0);
  other.join();
  EXPECT_EQ(turn.with([](int now) { return now; }), kTurns);
}

TEST(Monitor, WakeIsEnoughForWhatWasChangedBefore) {
  Monitor<int> value(0);
  std::thread waiter([&] { value.wait([](int now) { return now == 1; }); });
  value.with([](int& now) { now = 1; });
  value.wake();
  waiter.join();
}

TEST(Monitor, AWaitWithoutTimeLooksOnce) {
  Monitor<int> value(0);
  EXPECT_FALSE(value.wait_for(std::chrono::nanoseconds(0), [](int now) { return now == 1; }));
  EXPECT_FALSE(value.wait_for(std::chrono::nanoseconds(-1), [](int now) { return now == 1; }));
}

#if !defined(__SANITIZE_THREAD__)  // it runs handlers of signals later, where a lock may be held

std::array<int, 2> arrived{};
std::array<int, 2> may_go_on{};

void hold_thread(int) {
  char byte = 0;
  (void)!write(arrived[1], &byte, 1);
  (void)!read(may_go_on[0], &byte, 1);
}

// A thread that was woken and gets no core, as beside a busy process: here a signal keeps it.
TEST(Monitor, NobodyWaitsForAThreadThatWasWoken) {
  ASSERT_EQ(pipe(arrived.data()), 0);
  ASSERT_EQ(pipe(may_go_on.data()), 0);
  auto* const before = std::signal(SIGUSR1, hold_thread);
  Monitor<int> value(0);
  std::atomic<int> looked{0};
  const auto wait_until = [&](int wanted) {
    value.wait([&, first = true](int now) mutable {
      if (first) ++looked;
      first = false;
      return now >= wanted;
    });
  };
  // With the lock: who has looked sleeps, or is about to.
  const auto has_looked = [&](int threads) {
    while (!value.with([&](int) { return looked.load() == threads; })) std::this_thread::yield();
  };
  char byte = 0;
  std::thread kept([&] { wait_until(3); });
  has_looked(1);
  ASSERT_EQ(pthread_kill(kept.native_handle(), SIGUSR1), 0);
  ASSERT_EQ(read(arrived[0], &byte, 1), 1);
  value.change([](int& now) { now = 1; });
  std::thread free([&] { wait_until(2); });
  has_looked(2);
  value.change([](int& now) { now = 2; });
  free.join();
  ASSERT_EQ(write(may_go_on[1], &byte, 1), 1);
  value.change([](int& now) { now = 3; });
  kept.join();
  std::signal(SIGUSR1, before);
  for (const int end : {arrived[0], arrived[1], may_go_on[0], may_go_on[1]}) close(end);
}

#endif

}  // namespace
}  // namespace choir
