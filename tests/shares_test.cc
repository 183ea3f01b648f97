#include "kernels/shares.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace choir::kernels {
namespace {

using Parts = std::vector<Shares::Part>;

// All shares, by index.
Parts parts_of(std::int64_t total, std::int64_t least, int threads) {
  Shares shares(total, least, threads);
  Parts parts;
  for (std::int64_t index = 0; index < threads || parts.back().end < total; ++index)
    parts.push_back(shares.part(index));
  return parts;
}

// What each thread takes where they take shares by turns.
std::vector<Parts> taken_by_turns(std::int64_t total, std::int64_t least, int threads) {
  std::vector<Parts> taken(static_cast<std::size_t>(threads));
  std::int64_t counter = threads;
  for (int ith = 0; ith < threads; ++ith)
    take_shares(
        Shares(total, least, threads), ith, [&] { return counter++; },
        [&](Shares::Part part, Shares::Part) {
          taken[static_cast<std::size_t>(ith)].push_back(part);
        });
  return taken;
}

TEST(Shares, EachThreadBeginsWithHalfOfItsPart) {
  const Parts parts = parts_of(1000, 10, 2);
  EXPECT_TRUE(parts[0] == Shares::Part({0, 250}));
  EXPECT_TRUE(parts[1] == Shares::Part({250, 500}));
  EXPECT_TRUE(parts[2] == Shares::Part({500, 583}));
  EXPECT_TRUE(parts[3] == Shares::Part({583, 652}));
  EXPECT_EQ(parts.back().end, 1000);
}

TEST(Shares, FewPiecesAreSharedOutEqually) {
  EXPECT_TRUE(parts_of(36, 15, 2) == Parts({{0, 18}, {18, 36}}));
  EXPECT_TRUE(parts_of(7, 2, 3) == Parts({{0, 2}, {2, 4}, {4, 7}}));
}

TEST(Shares, OneThreadHasAllAtOnce) { EXPECT_TRUE(parts_of(1000, 1, 1) == Parts({{0, 1000}})); }

TEST(Shares, MoreThreadsThanPieces) {
  const std::vector<Parts> taken = taken_by_turns(2, 1, 4);
  std::size_t parts = 0;
  for (const Parts& of_one : taken) parts += of_one.size();
  EXPECT_EQ(parts, 2U);
}

TEST(Shares, NothingIsNobodys) {
  for (const Parts& of_one : taken_by_turns(0, 1, 3)) EXPECT_TRUE(of_one.empty());
}

TEST(Shares, WorkKnowsTheShareThatFollows) {
  std::int64_t counter = 2;
  std::int64_t expected = 0;
  take_shares(
      Shares(1000, 10, 2), 0, [&] { return counter++; },
      [&](Shares::Part part, Shares::Part next) {
        EXPECT_EQ(part.begin, expected);
        EXPECT_EQ(next.empty(), part.end == 1000);
        expected = next.begin;
      });
}

TEST(SharesProperty, EveryPieceIsTakenOnce) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    std::mt19937 random(seed);
    const auto upto = [&](unsigned most) { return static_cast<std::int64_t>(random() % most) + 1; };
    const std::int64_t total = upto(seed % 2 == 0 ? 100 : 100'000);
    const std::int64_t least = upto(seed % 3 == 0 ? 1 : 400);
    const auto threads = static_cast<int>(upto(32));
    Parts all;
    for (const Parts& of_one : taken_by_turns(total, least, threads))
      all.insert(all.end(), of_one.begin(), of_one.end());
    std::sort(all.begin(), all.end(),
              [](const Shares::Part& a, const Shares::Part& b) { return a.begin < b.begin; });
    std::int64_t at = 0;
    for (const Shares::Part& part : all) {
      ASSERT_EQ(part.begin, at) << "seed " << seed;
      ASSERT_GT(part.end, part.begin) << "seed " << seed;
      at = part.end;
    }
    ASSERT_EQ(at, total) << "seed " << seed;
  }
}

// A thread with half the speed of the others does not make them wait for more than a share.
TEST(SharesProperty, ASlowThreadIsNotWaitedFor) {
  for (const int threads : {2, 3, 8}) {
    const std::int64_t total = 1000 * threads;
    const Parts parts = parts_of(total, 10, threads);
    std::vector<double> busy_until(static_cast<std::size_t>(threads));
    std::size_t index = 0;
    const auto take = [&](std::size_t thread) {
      const Shares::Part part = parts[index++];
      busy_until[thread] += static_cast<double>(part.end - part.begin) * (thread == 0 ? 2.0 : 1.0);
    };
    for (std::size_t thread = 0; thread < busy_until.size(); ++thread) take(thread);
    while (index < parts.size())
      take(static_cast<std::size_t>(std::min_element(busy_until.begin(), busy_until.end()) -
                                    busy_until.begin()));
    const double least = static_cast<double>(total) / (threads - 0.5);
    EXPECT_LT(*std::max_element(busy_until.begin(), busy_until.end()), 1.05 * least) << threads;
  }
}

}  // namespace
}  // namespace choir::kernels
