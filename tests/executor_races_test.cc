// What other threads do in the middle of an executor's turn.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/executor_stage.h"

namespace choir {
namespace {

// A turn tells that a request was cancelled after it has taken its mail and before its pass begins.
void in_the_middle_of_a_turn(Stage& stage, const std::function<void()>& what) {
  const auto other = stage.post(with_front(1, 1), {});
  stage.states.at(other)->cancelled.store(true);
  stage.on_notify = [what, told = false](const RequestState&) mutable {
    if (!std::exchange(told, true)) what();
  };
}

TEST(ExecutorRaces, ACriticalArrivalBeforeThePassBeginsCutsIt) {
  Stage stage;
  const auto slow = stage.post(with_front(300, 2), {});
  std::uint64_t urgent = 0;
  in_the_middle_of_a_turn(stage, [&] {
    urgent = stage.post(with_front(4, 3), {.max_tokens = 1, .priority = Priority::kCritical});
  });
  stage.turn();
  EXPECT_EQ(stage.executor->stats().aborts.load(), 1U);
  EXPECT_EQ(stage.prompt_tokens(), 0U) << "the long prompt was computed first";
  stage.turn();
  EXPECT_TRUE(stage.states.at(urgent)->finished());
  stage.turns();
  EXPECT_EQ(stage.end_of(slow).finish, Finish::kLength);
  EXPECT_EQ(stage.executor->stats().aborts.load(), 1U);
}

TEST(ExecutorRaces, AnotherExecutorsArrivalBeforeThePassBeginsCutsIt) {
  Stage stage;
  stage.post(with_front(300, 2), {});
  in_the_middle_of_a_turn(stage, [&] { stage.executor->preempt(); });
  stage.turn();
  EXPECT_EQ(stage.prompt_tokens(), 0U);
  stage.turns();
  EXPECT_EQ(stage.executor->stats().aborts.load(), 1U);
}

TEST(ExecutorRaces, AnArrivalThatIsInThePassDoesNotCutIt) {
  Stage stage;
  stage.post(with_front(300, 2), {.priority = Priority::kCritical});
  stage.turns();
  EXPECT_EQ(stage.executor->stats().aborts.load(), 0U);
}

auto say(std::size_t bytes) {
  return [bytes](std::string& text) { return text.append(bytes, 'a').size(); };
}

// The lane looks and marks under one lock, so it comes either before the reader or after it.
TEST(ExecutorRaces, AReaderIsWaitedForOnlyIfItWillSeeThat) {
  sim::NullHome home;
  Callbacks callbacks;
  callbacks.on_event = [](const StreamEvent&) {};
  StreamPiece piece;
  RequestState before({1}, home, {1}, Instant{}, Instant{}, callbacks);
  before.append(7, say(100));
  EXPECT_TRUE(before.look_at_reader(50).behind);
  before.take(piece);
  EXPECT_TRUE(before.held_back.load()) << "the reader tells the executor";
  EXPECT_FALSE(before.look_at_reader(50).behind);
  EXPECT_FALSE(before.held_back.load());

  RequestState after({2}, home, {1}, Instant{}, Instant{}, callbacks);
  after.append(7, say(100));
  after.take(piece);
  EXPECT_FALSE(after.held_back.load());
  EXPECT_FALSE(after.look_at_reader(50).behind) << "nobody would tell the executor";
}

TEST(ExecutorRaces, AReaderHasCaughtUpAtHalfOfWhatItMayLeave) {
  sim::NullHome home;
  StreamPiece piece;
  RequestState request({1}, home, {1}, Instant{}, Instant{}, {});
  request.append(7, say(51));
  EXPECT_TRUE(request.look_at_reader(50).behind);
  request.take(piece);
  request.append(7, say(26));
  EXPECT_TRUE(request.look_at_reader(50).behind);
  request.take(piece);
  request.append(7, say(25));
  EXPECT_FALSE(request.look_at_reader(50).behind);
}

}  // namespace
}  // namespace choir
