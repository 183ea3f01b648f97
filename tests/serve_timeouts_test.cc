#include "serve/timeouts.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace choir::serve {
namespace {

using namespace std::chrono_literals;

struct Case {
  std::string name;
  Phase phase;
  Nanos lasts;
  std::size_t bytes;
  Overdue expected;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class OverdueOf : public testing::TestWithParam<Case> {};

TEST_P(OverdueOf, Decides) {
  const Case& c = GetParam();
  EXPECT_EQ(overdue(c.phase, c.lasts, c.bytes, {}), c.expected);
}

const Case kCases[] = {
    {"IdleWaits", Phase::kIdle, 75s, 0, Overdue::kNo},
    {"IdleEnds", Phase::kIdle, 76s, 0, Overdue::kClose},
    {"HeadWaits", Phase::kHead, 10s, 0, Overdue::kNo},
    {"HeadIsTooSlow", Phase::kHead, 11s, 0, Overdue::kTooSlow},
    {"BodyHasTime", Phase::kBody, 10s, 0, Overdue::kNo},
    {"BodyNeedsItsPace", Phase::kBody, 11s, 11 * 1024 - 1, Overdue::kTooSlow},
    {"BodyHasItsPace", Phase::kBody, 11s, 11 * 1024, Overdue::kNo},
    {"BodyHasAnEnd", Phase::kBody, 121s, 8U << 20U, Overdue::kTooSlow},
    {"WorkTakesItsTime", Phase::kWork, 24h, 0, Overdue::kNo},
    {"SendingWaits", Phase::kSending, 30s, 0, Overdue::kNo},
    {"SendingStalls", Phase::kSending, 31s, 0, Overdue::kStalled},
    {"LingerEnds", Phase::kLinger, 3s, 0, Overdue::kClose},
};
INSTANTIATE_TEST_SUITE_P(, OverdueOf, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir::serve
