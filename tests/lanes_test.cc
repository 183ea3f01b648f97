#include "policy/lanes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace choir {
namespace {

struct Case {
  std::string name;
  int contenders;
  int cores;
  int lanes_max;
  std::vector<int> want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class PlanLanes : public testing::TestWithParam<Case> {};

TEST_P(PlanLanes, Gives) {
  const Case& c = GetParam();
  EXPECT_EQ(plan_lanes(c.contenders, c.cores, c.lanes_max).threads, c.want);
}

const Case kCases[] = {
    {"OneLaneForNobody", 0, 4, 4, {4}},
    {"AllCoresForOneContender", 1, 4, 4, {4}},
    {"OneCoreEachForAsManyAsCores", 4, 4, 4, {1, 1, 1, 1}},
    {"NoMoreLanesThanCores", 9, 2, 2, {1, 1}},
    {"TheRestMakesFirstLanesWider", 3, 8, 8, {3, 3, 2}},
    {"OneCoreIsOneLane", 5, 1, 1, {1}},
    {"NoMoreLanesThanAllowed", 9, 8, 4, {2, 2, 2, 2}},
    {"OneLaneAllowedHasAllCores", 4, 4, 1, {4}},
    {"FewerContendersThanLanesAllowed", 2, 8, 4, {4, 4}},
    {"TheRestMakesAllowedLanesWider", 9, 8, 3, {3, 3, 2}},
    {"MoreLanesAllowedThanCores", 9, 2, 16, {1, 1}},
};
INSTANTIATE_TEST_SUITE_P(, PlanLanes, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(PlanLanesProperty, EveryCoreIsInExactlyOneLaneAndTheSpreadIsEven) {
  for (int cores = 1; cores <= 130; ++cores) {
    for (int contenders = 0; contenders <= 140; ++contenders) {
      const int lanes_max = 1 + contenders * 3 % cores;
      SCOPED_TRACE(std::to_string(contenders) + " contenders, " + std::to_string(cores) +
                   " cores, lanes_max " + std::to_string(lanes_max));
      const std::vector<int> threads = plan_lanes(contenders, cores, lanes_max).threads;
      ASSERT_LE(static_cast<int>(threads.size()), lanes_max);
      ASSERT_EQ(std::accumulate(threads.begin(), threads.end(), 0), cores);
      ASSERT_GE(threads.back(), 1);
      ASSERT_LE(threads.front() - threads.back(), 1);
      ASSERT_TRUE(std::ranges::is_sorted(threads, std::ranges::greater()));
    }
  }
}

}  // namespace
}  // namespace choir
