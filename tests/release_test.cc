// Who of an executor's waiting sequences may begin.
#include "policy/release.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace choir {
namespace {

using std::chrono::milliseconds;

Instant at(int ms) { return {milliseconds(ms)}; }

WaitView waits(std::uint64_t id, int arrived_ms = 0, Priority priority = Priority::kNormal) {
  return {.id = {id}, .priority = priority, .arrived = at(arrived_ms)};
}
WaitView begun(std::uint64_t id) {
  WaitView row = waits(id);
  row.begun = true;
  return row;
}

struct Case {
  const char* name;
  Batching batching;
  std::vector<WaitView> rows;
  int now_ms;
  std::vector<std::uint64_t> go;
  std::optional<int> again_ms;
  int fill_ms = 0;
};

class Release : public testing::TestWithParam<Case> {};

TEST_P(Release, LetsTheRightOnesGo) {
  Case c = GetParam();
  const auto again = plan_release(
      c.rows, {.batching = c.batching, .batch = 4, .fill = milliseconds(c.fill_ms)}, at(c.now_ms));
  std::vector<std::uint64_t> go;
  for (const WaitView& row : c.rows)
    if (row.go) go.push_back(row.id.value);
  EXPECT_EQ(go, c.go);
  EXPECT_EQ(again, c.again_ms ? std::optional(at(*c.again_ms)) : std::nullopt);
}

constexpr auto kContinuous = Batching::kContinuous;
constexpr auto kOneAtATime = Batching::kOneAtATime;
constexpr auto kCollect = Batching::kCollect;
constexpr auto kCollectBusy = Batching::kCollectBusy;

const Case kCases[] = {
    {"NobodyWaits", kContinuous, {}, 0, {}, {}},
    {"ContinuousTakesAll", kContinuous, {begun(1), waits(2), waits(3)}, 0, {1, 2, 3}, {}},
    {"FillWaitsForCompany", kContinuous, {waits(1, 1), waits(2, 3)}, 4, {}, 6, 5},
    {"FillIsOver", kContinuous, {waits(1, 1), waits(2, 3)}, 6, {1, 2}, {}, 5},
    {"FillIsFull", kContinuous, {waits(1), waits(2), waits(3), waits(4)}, 0, {1, 2, 3, 4}, {}, 5},
    {"FillJoinsWhatRuns", kContinuous, {begun(1), waits(2)}, 0, {1, 2}, {}, 5},
    {"OneAtATimeTakesTheBest",
     kOneAtATime,
     {waits(1, 0), waits(2, 5, Priority::kHigh)},
     9,
     {2},
     {}},
    {"OneAtATimeTakesTheEarliest", kOneAtATime, {waits(2, 5), waits(1, 7)}, 9, {2}, {}},
    {"OneAtATimeTakesTheFirstId", kOneAtATime, {waits(2, 5), waits(1, 5)}, 9, {1}, {}},
    {"OneAtATimeWaitsForTheOne", kOneAtATime, {begun(3), waits(1)}, 9, {3}, {}},
    {"CollectWaits", kCollect, {waits(1, 2), waits(2, 4)}, 11, {}, 12},
    {"CollectWaitsBesideWhatRuns", kCollect, {begun(3), waits(1, 2)}, 11, {3}, 12},
    {"CollectHasWaited", kCollect, {waits(1, 2), waits(2, 4)}, 12, {1, 2}, {}},
    {"CollectIsFull", kCollect, {waits(1), waits(2), waits(3), waits(4)}, 0, {1, 2, 3, 4}, {}},
    {"BusyTakesFew", kCollectBusy, {waits(1), waits(2)}, 0, {1, 2}, {}},
    {"BusyCollectsMany", kCollectBusy, {waits(1), waits(2), waits(3)}, 0, {}, 10},
};

INSTANTIATE_TEST_SUITE_P(, Release, testing::ValuesIn(kCases),
                         [](const auto& row) { return std::string(row.param.name); });

// The executor asks only where somebody is fresh.
TEST(ReleaseProperty, WhoHasBegunGoesOnAndAloneNeedsNoAnswer) {
  std::mt19937 rng(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<WaitView> rows;
    const std::uint64_t count = rng() % 6;
    for (std::uint64_t id = 0; id < count; ++id)
      rows.push_back(rng() % 2 == 0 ? begun(id) : waits(id, static_cast<int>(rng() % 9)));
    const auto again = plan_release(rows,
                                    {.batching = static_cast<Batching>(rng() % 4),
                                     .batch = 1 + static_cast<std::int32_t>(rng() % 4),
                                     .fill = milliseconds(rng() % 9)},
                                    at(static_cast<int>(rng() % 20)));
    bool fresh = false;
    for (const WaitView& row : rows) {
      fresh = fresh || !row.begun;
      EXPECT_TRUE(row.go || !row.begun) << "round " << round;
    }
    EXPECT_TRUE(fresh || !again) << "round " << round;
  }
}

}  // namespace
}  // namespace choir
