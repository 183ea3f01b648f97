#include "policy/spread.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace choir {
namespace {

QueueView queue(std::uint64_t id, std::int32_t queued, std::int32_t fixed = 0) {
  return {{id}, queued, fixed};
}

struct Case {
  std::string name;
  std::vector<QueueView> queues;  // at most three, for all orders of them
  std::vector<Move> want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Spread : public testing::TestWithParam<Case> {};

TEST_P(Spread, GivesInAnyOrderOfInput) {
  std::vector<QueueView> queues = GetParam().queues;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(spread(queues), GetParam().want);
    std::ranges::next_permutation(queues, {}, &QueueView::id);
  }
}

const Case kCases[] = {
    {"NothingOfNone", {}, {}},
    {"NothingOfOne", {queue(1, 9)}, {}},
    {"NothingWhenEqual", {queue(1, 3), queue(2, 1, 2)}, {}},
    {"NothingWhenOneApart", {queue(1, 3), queue(2, 4)}, {}},
    {"HalfTheDifference", {queue(1, 6), queue(2, 0)}, {{{1}, {2}, 3}}},
    {"NotTheOddOne", {queue(1, 0), queue(2, 5)}, {{{2}, {1}, 2}}},
    {"RunningOnesCount", {queue(1, 4), queue(2, 0, 2)}, {{{1}, {2}, 1}}},
    {"RunningOnesStay", {queue(1, 1, 6), queue(2, 0)}, {{{1}, {2}, 1}}},
    {"NothingQueuedNothingMoves", {queue(1, 0, 9), queue(2, 0)}, {}},
    {"OneThatRunsTooManyIsLeftOut", {queue(1, 0, 9), queue(2, 4), queue(3, 0)}, {{{2}, {3}, 2}}},
    {"OneGivesToTwo", {queue(1, 6), queue(2, 0), queue(3, 0)}, {{{1}, {2}, 2}, {{1}, {3}, 2}}},
    {"TwoGiveToOne", {queue(1, 3), queue(2, 0), queue(3, 3)}, {{{1}, {2}, 1}, {{3}, {2}, 1}}},
    {"TheRestStaysWhereItIs", {queue(1, 0), queue(2, 2), queue(3, 2)}, {{{3}, {1}, 1}}},
    {"TheRestGoesToTheSmallestId",
     {queue(1, 0), queue(2, 0), queue(3, 4)},
     {{{3}, {1}, 1}, {{3}, {2}, 1}}},
    {"ManyDoNotOverflow", {queue(1, INT32_MAX, INT32_MAX), queue(2, 0)}, {{{1}, {2}, INT32_MAX}}},
};
INSTANTIATE_TEST_SUITE_P(, Spread, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

std::int32_t length(const QueueView& view) { return view.queued + view.fixed; }

// The queues after the moves; fails the test where a move cannot be made.
std::vector<QueueView> moved(std::vector<QueueView> queues, const std::vector<Move>& moves) {
  for (const Move& move : moves) {
    const auto from = std::ranges::find(queues, move.from, &QueueView::id);
    const auto to = std::ranges::find(queues, move.to, &QueueView::id);
    EXPECT_TRUE(from != queues.end() && to != queues.end() && from != to);
    EXPECT_GE(move.count, 1);
    EXPECT_LE(move.count, from->queued) << "more than can move";
    from->queued -= move.count;
    to->queued += move.count;
  }
  return queues;
}

// "Differ by at most one as far as the fixed ones allow."
void expect_even(const std::vector<QueueView>& queues) {
  for (const QueueView& a : queues) {
    for (const QueueView& b : queues) {
      if (a.queued == 0) continue;
      EXPECT_LE(length(a), length(b) + 1) << a.id.value << " could give to " << b.id.value;
    }
  }
}

std::int32_t requests_moved(const std::vector<Move>& moves) {
  std::int32_t sum = 0;
  for (const Move& move : moves) sum += move.count;
  return sum;
}

// (sum of squared lengths, requests moved) of the best of all ways to lay `left` queued requests
// into queues[i...]; squares are least exactly when the lengths are as even as they can be.
using Outcome = std::pair<std::int32_t, std::int32_t>;
Outcome best_of_all(const std::vector<QueueView>& queues, std::size_t i, std::int32_t left,
                    Outcome so_far) {
  const std::int32_t fixed = queues[i].fixed;
  auto with = [&](std::int32_t queued) -> Outcome {
    return {so_far.first + (fixed + queued) * (fixed + queued),
            so_far.second + std::max(0, queues[i].queued - queued)};
  };
  if (i + 1 == queues.size()) return with(left);
  Outcome best{INT32_MAX, 0};
  for (std::int32_t queued = 0; queued <= left; ++queued)
    best = std::min(best, best_of_all(queues, i + 1, left - queued, with(queued)));
  return best;
}

TEST(SpreadProperty, NoOtherWayIsMoreEvenOrAsEvenWithFewerMoves) {
  for (std::uint32_t seed = 1; seed <= 5000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    std::vector<QueueView> queues(1 + rng() % 4);
    std::int32_t queued = 0;
    for (std::size_t i = 0; i < queues.size(); ++i) {
      queues[i] = queue(i, static_cast<std::int32_t>(rng() % 6), static_cast<int>(rng() % 6));
      queued += queues[i].queued;
    }
    const std::vector<Move> moves = spread(queues);
    Outcome got{0, requests_moved(moves)};
    for (const QueueView& view : moved(queues, moves)) got.first += length(view) * length(view);
    ASSERT_EQ(got, best_of_all(queues, 0, queued, {0, 0}));
  }
}

// Larger groups than all ways can be tried for.
std::vector<QueueView> large_group(std::mt19937& rng) {
  std::vector<QueueView> queues;
  const auto most = static_cast<std::uint32_t>(1 + rng() % 300);
  const std::uint64_t n = 1 + rng() % 40;
  for (std::uint64_t id = 0; id < n; ++id)
    queues.push_back(queue(id * 7 % 41, static_cast<std::int32_t>(rng() % most),
                           static_cast<std::int32_t>(rng() % (1 + rng() % most))));
  return queues;
}

TEST(SpreadProperty, LengthsAreEvenAfterIt) {
  for (std::uint32_t seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const std::vector<QueueView> queues = large_group(rng);
    expect_even(moved(queues, spread(queues)));
    if (HasFailure()) return;
  }
}

TEST(SpreadProperty, NobodyGivesAndGets) {
  for (std::uint32_t seed = 1; seed <= 1000; ++seed) {
    std::mt19937 rng(seed);
    const std::vector<Move> moves = spread(large_group(rng));
    for (const Move& move : moves)
      ASSERT_EQ(std::ranges::count(moves, move.from, &Move::to), 0) << "seed " << seed;
  }
}

TEST(SpreadProperty, MovesAreInOrderAndEachPairOnce) {
  for (std::uint32_t seed = 1; seed <= 1000; ++seed) {
    std::mt19937 rng(seed);
    const std::vector<Move> moves = spread(large_group(rng));
    const auto broken = std::ranges::adjacent_find(moves, [](const Move& a, const Move& b) {
      return std::pair(a.from, a.to) >= std::pair(b.from, b.to);
    });
    ASSERT_EQ(broken, moves.end()) << "seed " << seed;
  }
}

TEST(SpreadProperty, ASecondTimeNothingMoves) {
  for (std::uint32_t seed = 1; seed <= 1000; ++seed) {
    std::mt19937 rng(seed);
    const std::vector<QueueView> queues = large_group(rng);
    ASSERT_EQ(spread(moved(queues, spread(queues))), std::vector<Move>()) << "seed " << seed;
  }
}

TEST(SpreadProperty, OrderOfInputDoesNotMatter) {
  for (std::uint32_t seed = 1; seed <= 1000; ++seed) {
    std::mt19937 rng(seed);
    std::vector<QueueView> queues = large_group(rng);
    const std::vector<Move> before = spread(queues);
    std::ranges::shuffle(queues, rng);
    ASSERT_EQ(spread(queues), before) << "seed " << seed;
  }
}

}  // namespace
}  // namespace choir
