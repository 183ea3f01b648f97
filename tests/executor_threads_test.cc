// How many threads of its lane an executor computes on (policy/thread_choice decides): over a fake
// engine, turn by turn.
#include <gtest/gtest.h>

#include "tests/executor_stage.h"

namespace choir {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// A second thread costs more than it brings.
constexpr sim::FakeRules kBarriersDear = {
    .pass = milliseconds(1), .token = microseconds(10), .barrier = milliseconds(1)};

std::int32_t threads_after_200_tokens(const Stage::Options& options) {
  Stage stage(options);
  stage.ask(with_front(20, 1), {.max_tokens = 200});
  return stage.executor->stats().threads.load();
}

TEST(ExecutorThreads, AreFewerWhereThatIsFaster) {
  EXPECT_EQ(threads_after_200_tokens({.rules = kBarriersDear}), 1);
}

TEST(ExecutorThreads, AreAllWhereThatIsFaster) {
  const sim::FakeRules dear_tokens = {.pass = microseconds(10), .token = milliseconds(1)};
  EXPECT_EQ(threads_after_200_tokens({.rules = dear_tokens}), 2);
}

TEST(ExecutorThreads, AreAllWhereNobodyMayChoose) {
  EXPECT_EQ(threads_after_200_tokens({.rules = kBarriersDear, .adapt_threads = false}), 2);
}

TEST(ExecutorThreads, PassesThatFailedAreNotCounted) {
  // Every second pass fails at once, which must not look fast.
  sim::FakeRules rules = kBarriersDear;
  rules.no_cells_every = 2;
  EXPECT_EQ(threads_after_200_tokens({.rules = rules}), 1);
}

}  // namespace
}  // namespace choir
