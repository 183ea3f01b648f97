// Which KV cells sequences share: by rows, against a model that numbers every cell, and in an
// executor against what its engine holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/cell_origins.h"
#include "policy/shared_front.h"
#include "tests/executor_stage.h"

namespace choir {
namespace {

using Runs = std::vector<CellRun>;

struct Pair {
  std::string name;
  Runs a;
  Runs b;
  std::int32_t want;
};
void PrintTo(const Pair& p, std::ostream* out) { *out << p.name; }

class SharedCellsOf : public testing::TestWithParam<Pair> {};

TEST_P(SharedCellsOf, AreTheFirstOnesOfTheSameOrigin) {
  const Pair& p = GetParam();
  EXPECT_EQ(shared_cells(p.a, p.b), p.want);
  EXPECT_EQ(shared_cells(p.b, p.a), p.want);
}

const Pair kPairs[] = {
    {"Nothing", {}, {{1, 5}}, 0},
    {"OtherCells", {{1, 5}}, {{2, 5}}, 0},
    {"AFork", {{1, 5}}, {{1, 3}, {2, 9}}, 3},
    {"TwoForks", {{1, 5}, {2, 1}}, {{1, 5}, {3, 7}}, 5},
    {"AForkOfAFork", {{1, 5}, {2, 4}, {3, 1}}, {{1, 5}, {2, 6}}, 9},
    {"TheOriginWasCutAndWentOn", {{1, 3}, {4, 9}}, {{1, 5}, {2, 1}}, 3},
    {"TheSameOriginLaterOn", {{1, 3}, {2, 9}}, {{3, 3}, {2, 9}}, 0},
};
INSTANTIATE_TEST_SUITE_P(Rows, SharedCellsOf, testing::ValuesIn(kPairs),
                         [](const auto& row) { return row.param.name; });

TEST(SharedFronts, OfOneSequenceThereAreNone) {
  EXPECT_TRUE(shared_fronts({}).empty());
  EXPECT_TRUE(shared_fronts(std::vector<Runs>{{{1, 5}}}).empty());
}

TEST(SharedFronts, AFrontOfSomeInsideAFrontOfAll) {
  const std::vector<Runs> sequences = {
      {{1, 10}}, {{9, 4}}, {{1, 4}, {2, 6}}, {{1, 4}, {2, 3}, {3, 1}}, {{1, 4}, {2, 3}, {4, 1}}};
  const std::vector<SharedFront> want = {
      {.cells = 4, .saved_cells = 12, .depth = 0, .holders = {0, 2, 3, 4}},
      {.cells = 7, .saved_cells = 6, .depth = 1, .holders = {2, 3, 4}}};
  EXPECT_EQ(shared_fronts(sequences), want);
}

TEST(SharedFronts, TwoSequencesThatHoldTheSame) {
  const std::vector<Runs> sequences = {{{1, 4}}, {{1, 4}}, {{1, 9}}};
  const std::vector<SharedFront> want = {
      {.cells = 4, .saved_cells = 8, .depth = 0, .holders = {0, 1, 2}}};
  EXPECT_EQ(shared_fronts(sequences), want);
}

std::int32_t saved_by(const std::vector<SharedFront>& fronts) {
  return std::accumulate(
      fronts.begin(), fronts.end(), 0,
      [](std::int32_t sum, const SharedFront& f) { return sum + f.saved_cells; });
}

// What an engine does with its slots, at random; beside it every cell has a number.
class NumberedCells {
 public:
  static constexpr std::size_t kSlots = 6;
  explicit NumberedCells(std::uint32_t seed) : random_(seed) {}

  void step() {
    const std::size_t slot = random_() % kSlots;
    std::vector<int>& cells = slots_.at(slot);
    const auto part = static_cast<std::int32_t>(random_() % (cells.size() + 1));
    switch (random_() % 4) {
      case 0:  // it computes
        if (cells.empty()) origins_.begin(slot);
        for (auto more = random_() % 5 + 1; more > 0; --more) cells.push_back(++last_);
        break;
      case 1:
        if (part == 0) break;
        cells.resize(static_cast<std::size_t>(part));
        origins_.cut(slot, part);
        break;
      case 2: {
        const std::size_t to = (slot + 1) % kSlots;
        if (part == 0) break;
        slots_.at(to).assign(cells.begin(), cells.begin() + part);
        origins_.fork(slot, to, part);
        break;
      }
      default:  // it is given up
        cells.clear();
    }
  }
  std::vector<Runs> runs() const {
    std::vector<Runs> all;
    for (std::size_t i = 0; i < kSlots; ++i)
      all.push_back(slots_.at(i).empty()
                        ? Runs()
                        : origins_.runs(i, static_cast<std::int32_t>(slots_.at(i).size())));
    return all;
  }
  const std::vector<int>& cells(std::size_t slot) const { return slots_.at(slot); }
  std::int32_t held() const {
    return std::accumulate(slots_.begin(), slots_.end(), 0, [](std::int32_t sum, const auto& c) {
      return sum + static_cast<std::int32_t>(c.size());
    });
  }
  std::int32_t different() const {
    std::set<int> all;
    for (const auto& cells : slots_) all.insert(cells.begin(), cells.end());
    return static_cast<std::int32_t>(all.size());
  }

 private:
  std::mt19937 random_;
  int last_ = 0;
  CellOrigins origins_{kSlots};
  std::vector<std::vector<int>> slots_ = std::vector<std::vector<int>>(kSlots);
};

TEST(SharedFronts, WhatIsSavedIsWhatIsHeldMoreThanOnce) {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    NumberedCells cells(seed);
    for (int step = 0; step < 100; ++step) {
      cells.step();
      const std::vector<Runs> runs = cells.runs();
      for (std::size_t a = 0; a < NumberedCells::kSlots; ++a)
        for (std::size_t b = 0; b < a; ++b) {
          const auto [at, end] = std::ranges::mismatch(cells.cells(a), cells.cells(b));
          ASSERT_EQ(shared_cells(runs[a], runs[b]), at - cells.cells(a).begin()) << seed;
        }
      ASSERT_EQ(saved_by(shared_fronts(runs)), cells.held() - cells.different()) << seed;
    }
  }
}

TEST(ExecutorCellLook, WhatIsSharedIsWhatTheEngineHoldsOnce) {
  std::mt19937 random(7);
  Stage s;
  int shared = 0;
  for (int round = 0; round < 300; ++round) {
    const auto front = static_cast<std::int32_t>(random() % 3 * 20 + 20);
    s.post(with_front(front, static_cast<TokenId>(random() % 9)),
           {.max_tokens = static_cast<std::int32_t>(random() % 8 + 1),
            .talk = {random() % 4},
            .scope = random() % 3 == 0 ? "other" : ""});
    for (auto turns = random() % 4; turns > 0; --turns) s.turn();
    s.executor->look_at_cells();
    const auto look = s.executor->cell_looks().last();
    ASSERT_TRUE(look);
    ASSERT_EQ(look->holders.size(), look->runs.size());
    std::int32_t held = 0;
    for (std::size_t i = 0; i < look->holders.size(); ++i) {
      held += look->holders[i].cells;
      ASSERT_EQ(std::accumulate(look->runs[i].begin(), look->runs[i].end(), 0,
                                [](int sum, const CellRun& run) { return sum + run.cells; }),
                look->holders[i].cells);
    }
    const auto fronts = shared_fronts(look->runs);
    ASSERT_EQ(held - saved_by(fronts), s.engine->cells_held());
    shared += static_cast<int>(fronts.size());
    for (const SharedFront& one : fronts)
      for (const std::size_t index : one.holders)
        ASSERT_EQ(look->holders[index].reuse_scope, look->holders[one.holders[0]].reuse_scope);
  }
  EXPECT_GT(shared, 100);
}

TEST(CellLooks, OneIsDueEverySecondWhereSomebodyAsks) {
  CellLooks looks;
  EXPECT_EQ(looks.last(), nullptr);
  const Instant begin{std::chrono::seconds(5)};
  EXPECT_TRUE(looks.ask(begin));
  EXPECT_FALSE(looks.ask(begin + (CellLooks::kEvery - Nanos{1})));
  EXPECT_TRUE(looks.ask(begin + CellLooks::kEvery));
  looks.made({.at = begin, .holders = {}, .runs = {}});
  EXPECT_EQ(looks.last()->at, begin);
}

}  // namespace
}  // namespace choir
