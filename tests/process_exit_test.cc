// A child that was forked ends by itself, whatever the threads of its parent were doing.
#include "base/process_exit.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

namespace choir {
namespace {

constexpr int kForks = 200;
constexpr int kRegistrations = 200;  // for each fork
constexpr unsigned kSecondsMax = 20;

TEST(ProcessExit, AChildThatWasForkedInTheMiddleOfARegistrationEnds) {
#ifdef CHOIR_SANITIZED
  GTEST_SKIP() << "in the child of a fork a sanitizer looks for threads that are not there";
#endif
  std::atomic<int> round{0};
  std::thread registers([&] {
    for (int seen = 0; seen < kForks;) {
      round.wait(seen);
      seen = round;
      for (int i = 0; i < kRegistrations; ++i) watch_exit();
    }
  });
  int ended = 0;
  for (int i = 0; i < kForks; ++i) {
    ++round;
    round.notify_all();
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(kSecondsMax);  // ends a child that waits for ever
      std::exit(7);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ended += WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 1 : 0;
    if (ended <= i) break;
  }
  round = kForks;
  round.notify_all();
  registers.join();
  EXPECT_EQ(ended, kForks);
}

}  // namespace
}  // namespace choir
