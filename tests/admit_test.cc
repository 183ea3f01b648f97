#include "policy/admit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace choir {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kGiB = 1U << 30U;
constexpr std::uint64_t kMax = UINT64_MAX;

struct Case {
  std::string name;
  ExecutorBytes need;
  MemoryView memory;
  std::string want;  // part of the message; empty: admitted
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Admit : public testing::TestWithParam<Case> {};

TEST_P(Admit, Gives) {
  const Case& c = GetParam();
  const Status status = admit("tutor", c.need, c.memory);
  if (c.want.empty()) {
    EXPECT_TRUE(status.has_value()) << status.error().message;
    return;
  }
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Code::kOutOfMemory);
  EXPECT_THAT(status.error().message, testing::HasSubstr(c.want));
}

const ExecutorBytes kNeed{
    .weights = 600 * kMiB, .kv = 300 * kMiB, .compute = 100 * kMiB, .logits = 24 * kMiB};  // 1 GiB

const Case kCases[] = {
    {"FitsExactly", kNeed, {.limit = 3 * kGiB, .promised = 2 * kGiB, .free = kGiB}, ""},
    {"NothingNeedsNothing", {}, {}, ""},
    {"NamesTheExecutorAndTheParts",
     kNeed,
     {},
     "executor 'tutor' needs 1.1 GB (weights 629 MB, KV 315 MB, compute 105 MB, logits 25 MB)"},
    {"OneByteOverTheLimit",
     kNeed,
     {.limit = 3 * kGiB - 1, .promised = 2 * kGiB, .free = 9 * kGiB},
     "of the limit of 3.2 GB only 1.1 GB is left beside 2.1 GB promised to others, 1 byte short"},
    {"OneByteMoreThanIsFree",
     kNeed,
     {.limit = 9 * kGiB, .promised = 0, .free = kGiB - 1},
     "the machine has only 1.1 GB free now, 1 byte short"},
    {"TheLimitIsNamedBeforeTheMachine",
     kNeed,
     {.limit = 1, .promised = 0, .free = 0},
     "of the limit"},
    {"SaysWhatToChange", kNeed, {}, "unload another executor, or raise the memory limit"},
    {"MorePromisedThanTheLimitLeavesNothing",
     {.weights = 1},
     {.limit = kGiB, .promised = 2 * kGiB, .free = kGiB},
     "only 0 bytes is left"},
    {"ASumThatWouldWrapIsNotSmall",
     {.weights = kMax, .kv = kMax},
     {.limit = kMax - 1, .promised = 0, .free = kMax - 1},
     "1 byte short"},
};
INSTANTIATE_TEST_SUITE_P(, Admit, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(AdmitProperty, WhatIsAdmittedNeverBreaksTheLimitAndWhatIsRefusedWould) {
  std::mt19937 rng(1);
  for (int round = 0; round < 20'000; ++round) {
    SCOPED_TRACE("seed 1, round " + std::to_string(round));
    const ExecutorBytes need{rng() % 100, rng() % 100, rng() % 100, rng() % 100};
    const MemoryView memory{.limit = rng() % 600, .promised = rng() % 300, .free = rng() % 400};
    const bool fits = memory.promised + need.total() <= memory.limit && need.total() <= memory.free;
    ASSERT_EQ(admit("a", need, memory).has_value(), fits || need.total() == 0);
  }
}

}  // namespace
}  // namespace choir
