// Requests that wait: steps leave them alone, and everything is as if steps looked at all of them.
#include <gtest/gtest.h>

#include <random>
#include <tuple>

#include "tests/executor_stage.h"

namespace choir {
namespace {

// One request's end and all that its waiting did to it.
using End = std::tuple<std::uint64_t, Finish, std::vector<TokenId>, Usage>;

struct Ran {
  std::vector<End> ends;
  std::uint64_t preemptions = 0;
  std::int32_t most_resting = 0;
};

// What a seed asks of an executor that is too small for it. `look_at_all`: nobody rests, since the
// settings are given anew before each turn; so every step looks at all that wait.
Ran run(std::uint64_t seed, bool look_at_all) {
  std::mt19937_64 random(seed);
  const auto upto = [&](int n) {
    return 1 + static_cast<int>(random() % static_cast<unsigned>(n));
  };
  const auto one_in = [&](int n) { return upto(n) == 1; };
  Stage stage(
      {.cells = 40 + upto(300),
       .slots = upto(6),
       .batch = 6 + upto(60),
       .prefix_cache = !one_in(3),
       .rules = {.no_cells_every = one_in(5) ? 20U : 0U, .fail_every = one_in(6) ? 31U : 0U},
       .park_bytes_max = one_in(2) ? 0U : 2000U,
       .age_step = std::chrono::microseconds(one_in(4) ? 500'000 : 300 * upto(20)),
       .stream_bytes_max = static_cast<std::size_t>(upto(12))});
  const int tenants = upto(3);
  const bool one_class = one_in(3);
  const bool deadlines = one_in(2);
  const bool readers = one_in(2);
  const ExecutorConfig config = stage.executor->config();
  Ran ran;
  StreamPiece piece;
  for (int i = 0; i < 400; ++i) {
    if (i < 200 && one_in(2)) {
      Stage::Ask ask{
          .max_tokens = upto(15),
          .priority = one_class ? Priority::kNormal : static_cast<Priority>(upto(4) - 1),
          .talk = one_in(8) ? ConversationKey{stage.states.size() + 1} : ConversationKey{},
          .tenant = std::to_string(upto(tenants)),
          .deadline = deadlines && one_in(3) ? std::chrono::milliseconds(upto(30)) : Nanos{0},
          .reads = readers && one_in(3)};
      stage.post(with_front(upto(35) - 1, static_cast<TokenId>(upto(9))), ask);
    }
    if (one_in(12) && !stage.states.empty()) {
      const auto at =
          std::next(stage.states.begin(), upto(static_cast<int>(stage.states.size())) - 1);
      stage.cancel(at->first);
    }
    for (auto& [id, state] : stage.states) {
      if (!state->streams || !one_in(6)) continue;
      state->take(piece);
      if (state->held_back.load()) stage.executor->look_at({id});
    }
    if (look_at_all) stage.executor->update(config);
    stage.turn();
    EXPECT_TRUE(stage.executor->books_balance());
    ran.most_resting = std::max(ran.most_resting, stage.executor->live().waiting().size());
    if (!stage.executor->has_work()) stage.clock.advance(std::chrono::microseconds(upto(500)));
  }
  for (auto& [id, state] : stage.states) {
    const auto end = state->take_end();
    if (end) ran.ends.emplace_back(id, end->finish, end->tokens, end->usage);
  }
  ran.preemptions = stage.executor->stats().preemptions.load();
  // Nobody is left when the executor goes.
  for (auto& [id, state] : stage.states) stage.cancel(id);
  stage.turn();
  return ran;
}

TEST(ExecutorWaitingProperty, TheOrderIsThatOfStepsThatLookAtAll) {
  std::int32_t most_resting = 0;
  std::uint64_t preemptions = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Ran ran = run(seed, false);
    const Ran all = run(seed, true);
    ASSERT_EQ(ran.ends, all.ends);
    ASSERT_EQ(ran.preemptions, all.preemptions);
    ASSERT_FALSE(testing::Test::HasFailure());
    most_resting = std::max(most_resting, ran.most_resting);
    preemptions += ran.preemptions;
  }
  EXPECT_GT(most_resting, 20) << "the workloads let few wait";
  EXPECT_GT(preemptions, 100U);
}

// A full executor, and `waiting` more.
struct Full {
  explicit Full(int waiting) : stage({.cells = 1000, .slots = 2}) {
    for (int i = 0; i < 2 + waiting; ++i) stage.post(with_front(5, 1), {.max_tokens = 100});
    for (int i = 0; i < 5; ++i) stage.turn();
  }
  Stage stage;
};

TEST(ExecutorWaiting, RestsUntilThereIsRoom) {
  Full full(10);
  EXPECT_EQ(full.stage.executor->live().waiting().size(), 10);
  EXPECT_EQ(full.stage.executor->stats().waiting.load(), 10);
  full.stage.turns();
  EXPECT_EQ(full.stage.executor->live().waiting().size(), 0);
  for (std::uint64_t id = 1; id <= 12; ++id)
    EXPECT_EQ(full.stage.end_of(id).finish, Finish::kLength);
}

TEST(ExecutorWaiting, ACancelEndsItInTheNextTurn) {
  Full full(3);
  full.stage.cancel(4);
  full.stage.turn();
  EXPECT_EQ(full.stage.end_of(4).finish, Finish::kCancelled);
  EXPECT_EQ(full.stage.executor->live().waiting().size(), 2);
  full.stage.turns();
}

TEST(ExecutorWaiting, ADeadlineEndsItInTime) {
  Full full(0);
  const auto late = full.stage.post(with_front(5, 1),
                                    {.max_tokens = 100, .deadline = std::chrono::milliseconds(3)});
  const Instant deadline = full.stage.clock.now() + std::chrono::milliseconds(3);
  while (full.stage.clock.now() < deadline) {
    EXPECT_FALSE(full.stage.states.at(late)->finished());
    full.stage.turn();
    EXPECT_LE(full.stage.last_turn.wake_at.value(), deadline);
  }
  full.stage.turn();
  EXPECT_EQ(full.stage.end_of(late).finish, Finish::kDeadline);
  full.stage.turns();
}

TEST(ExecutorWaiting, OfTheNextClassGoesBeforeOlderOnes) {
  Full full(5);
  const auto high = full.stage.post(with_front(5, 1), {.priority = Priority::kHigh});
  full.stage.turn();
  full.stage.turn();
  EXPECT_EQ(full.stage.executor->stats().preemptions.load(), 1U)
      << "a holder of a worse class leaves";
  full.stage.turns();
  EXPECT_LT(full.stage.end_of(high).usage.queue_seconds, 0.001);
}

TEST(ExecutorWaiting, IsOverInTheCountsWhenTheFirstTokensAreTold) {
  Stage stage({.slots = 2});
  const ExecutorStats& stats = stage.executor->stats();
  int told = 0;
  stage.on_notify = [&](const RequestState&) {
    ++told;
    EXPECT_EQ(stats.running.load(), 2);
    EXPECT_EQ(stats.waiting.load(), 1);
  };
  for (int i = 0; i < 3; ++i) stage.post({1, 2, 3}, {.reads = true});
  stage.turn();
  EXPECT_EQ(told, 2);
  stage.on_notify = nullptr;
  stage.turns();
  EXPECT_EQ(stats.running.load() + stats.waiting.load(), 0);
}

}  // namespace
}  // namespace choir
