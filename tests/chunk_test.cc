#include "policy/chunk.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace choir {
namespace {

using std::chrono::milliseconds;

struct Case {
  std::string name;
  ChunkView view;
  std::int32_t want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class ChunkTokens : public testing::TestWithParam<Case> {};

TEST_P(ChunkTokens, Gives) { EXPECT_EQ(chunk_tokens(GetParam().view), GetParam().want); }

ChunkView contended(double seconds_per_token, Nanos quantum = milliseconds(50),
                    std::int32_t batch_tokens_max = 512) {
  return {.seconds_per_token = seconds_per_token,
          .contended = true,
          .quantum = quantum,
          .batch_tokens_max = batch_tokens_max};
}

const double kNan = std::numeric_limits<double>::quiet_NaN();

const Case kCases[] = {
    {"EightQuantaWhenNobodyWaits", {.seconds_per_token = 0.002, .contended = false}, 200},
    {"AtLeastSixtyFourWhenNobodyWaits", {.seconds_per_token = 1, .contended = false}, 64},
    {"NoMoreThanTheBatchWhenNobodyWaits", {.seconds_per_token = 1e-6, .contended = false}, 512},
    {"WhatFitsIntoTheQuantum", contended(0.0005), 100},
    {"LongerQuantumTakesMore", contended(0.0005, milliseconds(200)), 400},
    {"FractionsAreCutOff", contended(0.0007), 71},
    {"NoMoreThanTheBatch", contended(0.00001), 512},
    {"AtLeastSixteen", contended(1.0), 16},
    {"ASmallBatchWinsOverSixteen", contended(1.0, milliseconds(50), 8), 8},
    {"UnknownSpeedCountsAsFourMilliseconds", contended(0, milliseconds(200)), 50},
    {"SpeedThatIsNoNumberIsUnknown", contended(kNan, milliseconds(200)), 50},
    {"NegativeSpeedIsUnknown", contended(-1, milliseconds(200)), 50},
    {"SpeedNearZeroDoesNotOverflow", contended(1e-300), 512},
    {"NegativeQuantumIsTheLeast", contended(1e-300, milliseconds(-50)), 16},
};
INSTANTIATE_TEST_SUITE_P(, ChunkTokens, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(QuantumBeside, IsHalfAnUrgentFirstTokenWithinItsBounds) {
  EXPECT_EQ(quantum_beside(milliseconds(50), Nanos{0}), milliseconds(50));
  EXPECT_EQ(quantum_beside(milliseconds(50), milliseconds(300)), milliseconds(50));
  EXPECT_EQ(quantum_beside(milliseconds(50), milliseconds(60)), milliseconds(30));
  EXPECT_EQ(quantum_beside(milliseconds(50), milliseconds(4)), milliseconds(10));
  EXPECT_EQ(quantum_beside(milliseconds(5), milliseconds(4)), milliseconds(5));
}

}  // namespace
}  // namespace choir
