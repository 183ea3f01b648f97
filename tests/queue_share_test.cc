#include "policy/queue_share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>

namespace choir {
namespace {

struct Case {
  std::string name;
  std::int32_t queue_max;
  double weight;
  double other_weights;
  std::int32_t want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class QueueShare : public testing::TestWithParam<Case> {};

TEST_P(QueueShare, Gives) {
  const Case& c = GetParam();
  EXPECT_EQ(queue_share(c.queue_max, c.weight, c.other_weights), c.want);
}

const Case kCases[] = {
    {"AloneTheWholeQueue", 1024, 1, 0, 1024},
    {"AloneTheWholeQueueWhateverTheWeight", 1024, 0.001, 0, 1024},
    {"HalfBesideAnEqual", 1024, 1, 1, 512},
    {"AQuarterBesideOneOfThree", 1024, 1, 3, 256},
    {"AtMostHalf", 1024, 3, 1, 512},
    {"AtMostHalfForTheGreatest", 1024, 1000, 0.001, 512},
    {"AtLeastEight", 1024, 1, 1000, 8},
    {"AtLeastEightOfManyEquals", 64, 1, 63, 8},
    {"HalfOfAShortQueueIsLessThanEight", 10, 1, 1, 5},
    {"OneOfAQueueOfOne", 1, 1, 1, 1},
    {"APartIsRoundedDown", 100, 1, 2, 33},
    {"TheLongestQueue", 1 << 20, 1, 1, 1 << 19},
};
INSTANTIATE_TEST_SUITE_P(, QueueShare, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

constexpr Instant kNow{std::chrono::seconds(100)};

TEST(QueueShares, OnlyTenantsWithRequestsAreThere) {
  QueueShares shares;
  shares.came("a", 1);
  EXPECT_EQ(shares.share("a", 1, 100, kNow), 100);
  EXPECT_EQ(shares.share("b", 1, 100, kNow), 50);
  shares.came("b", 3);
  shares.came("b", 3);
  EXPECT_EQ(shares.requests("b"), 2);
  EXPECT_EQ(shares.share("a", 1, 100, kNow), 25);
  shares.left("b");
  EXPECT_EQ(shares.share("a", 1, 100, kNow), 25);
  shares.left("b");
  EXPECT_EQ(shares.requests("b"), 0);
  EXPECT_EQ(shares.share("a", 1, 100, kNow), 100);
}

TEST(QueueShares, TheWeightOfATenantIsThatOfItsLastRequest) {
  QueueShares shares;
  shares.came("b", 1);
  shares.came("b", 3);
  EXPECT_EQ(shares.share("a", 1, 100, kNow), 25);
}

TEST(QueueShares, WhoWasTurnedAwayCountsForAWhileAndOnce) {
  QueueShares shares;
  shares.came("a", 1);
  shares.turned_away("b", 1, kNow);
  const Nanos moment{1};
  EXPECT_EQ(shares.share("a", 1, 100, kNow + (kTurnedAway - moment)), 50);
  EXPECT_EQ(shares.share("a", 1, 100, kNow + kTurnedAway), 100);
  EXPECT_EQ(shares.share("b", 1, 100, kNow), 50) << "a itself";
  shares.came("b", 1);
  EXPECT_EQ(shares.share("a", 1, 100, kNow), 50) << "it is there, and no second time";
  shares.left("b");
  shares.left("a");
  EXPECT_EQ(shares.share("b", 1, 100, kNow), 100) << "it is no other than itself";
}

// A queue that tenants fill and leave at random.
TEST(QueueSharesProperty, NobodyIsShutOutAndNobodyTakesAll) {
  for (std::uint32_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const auto below = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
    const std::int32_t queue_max = 1 + below(200);
    const int tenants = 1 + below(6);
    std::map<std::string, std::int32_t> has;
    std::map<std::string, double> weights;
    for (int t = 0; t < tenants; ++t)
      weights[std::string(1, static_cast<char>('a' + t))] = 0.25 * (1 + below(16));
    QueueShares shares;
    std::int32_t all = 0;
    for (int step = 0; step < 400; ++step) {
      const std::string name(1, static_cast<char>('a' + below(tenants)));
      if (below(3) == 0) {
        if (has[name] == 0) continue;
        shares.left(name);
        --has[name];
        --all;
        continue;
      }
      double others = 0;
      for (const auto& [other, requests] : has)
        if (other != name && requests > 0) others += weights[other];
      ASSERT_EQ(shares.requests(name), has[name]);
      const std::int32_t share = shares.share(name, weights[name], queue_max, kNow);
      ASSERT_GE(share, 1);
      ASSERT_LE(share, queue_max);
      if (others == 0) {
        ASSERT_EQ(share, queue_max);
      } else {
        ASSERT_LE(share, std::max(queue_max / 2, 1));
        ASSERT_GE(share, std::max(std::min(kQueueShareMin, queue_max / 2), 1));
        ASSERT_GE(share, std::min(queue_max / 2,
                                  static_cast<std::int32_t>(
                                      queue_max * weights[name] / (weights[name] + others) - 1)));
        ASSERT_LE(share, shares.share(name, weights[name] * 2, queue_max, kNow))
            << "more weight is never less room";
      }
      if (has[name] >= share || all >= queue_max) continue;
      shares.came(name, weights[name]);
      ++has[name];
      ++all;
    }
  }
}

}  // namespace
}  // namespace choir
