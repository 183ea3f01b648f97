#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "choir/text.h"

namespace choir {
namespace {

struct Case {
  std::string name;
  std::string word;
  std::vector<std::string> known;
  std::optional<std::string> want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Nearest : public testing::TestWithParam<Case> {};

TEST_P(Nearest, Gives) {
  const Case& c = GetParam();
  EXPECT_EQ(nearest(c.word, c.known), c.want);
}

const std::vector<std::string> kModels = {"smollm2-135m", "gemma3-270m"};

const Case kCases[] = {
    {"NothingForNoWord", "", kModels, std::nullopt},
    {"NothingFromNothing", "gemma", {}, std::nullopt},
    {"TheWordItself", "gemma3-270m", kModels, "gemma3-270m"},
    {"CaseDoesNotCount", "GEMMA3-270M", kModels, "gemma3-270m"},
    {"MissingLetter", "smolm2-135m", kModels, "smollm2-135m"},
    {"DoubledLetter", "gemmma3-270m", kModels, "gemma3-270m"},
    {"WrongLetter", "--semd", {"--help", "--seed"}, "--seed"},
    {"AMissingLetterIsOneEdit", "rn", {"run"}, "run"},
    {"ALetterTooManyIsOneEdit", "runn", {"run"}, "run"},
    {"SwappedNeighboursAreOneEdit", "rnu", {"row", "run"}, "run"},
    {"BeginningOfALongWord", "gem", kModels, "gemma3-270m"},
    {"TwoLettersAreNoBeginning", "ge", kModels, std::nullopt},
    {"NothingNearIsNothing", "llama-70b", kModels, std::nullopt},
    {"ThreeLettersAllowOneEdit", "abc", {"axx"}, std::nullopt},
    {"OfEqualsTheFirst", "cat", {"bat", "hat"}, "bat"},
    {"EndlessWordIsNoTypo", std::string(1000, 'a'), {std::string(1000, 'a')}, std::nullopt},
};
INSTANTIATE_TEST_SUITE_P(, Nearest, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(BytesText, IsWhatAPersonWouldSay) {
  EXPECT_EQ(bytes_text(0), "0 bytes");
  EXPECT_EQ(bytes_text(1), "1 byte");
  EXPECT_EQ(bytes_text(999), "999 bytes");
  EXPECT_EQ(bytes_text(1000), "1.0 kB");
  EXPECT_EQ(bytes_text(999'499), "999 kB");
  EXPECT_EQ(bytes_text(999'999), "1.0 MB");
  EXPECT_EQ(bytes_text(98'362'432), "98 MB");
  EXPECT_EQ(bytes_text(1'440'000'000), "1.4 GB");
  EXPECT_EQ(bytes_text(~std::uint64_t{0}), "18 EB");
}

}  // namespace
}  // namespace choir
