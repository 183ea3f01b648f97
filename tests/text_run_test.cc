#include "engine/text_run.h"

#include <gtest/gtest.h>

#include <string>

namespace choir {
namespace {

struct Case {
  std::string name;
  std::string text;
  std::size_t want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class LongestRun : public testing::TestWithParam<Case> {};

TEST_P(LongestRun, Is) { EXPECT_EQ(longest_run(GetParam().text), GetParam().want); }

const Case kCases[] = {
    {"OfNothing", "", 0},
    {"OfLetters", "abcdef", 6},
    {"OfDigitsAndMarks", "12;{}", 5},
    {"OfWhiteSpace", "a\n\n \t\r\nb", 6},
    {"OfWordsWithBlanks", "one two, three", 7},
    {"OfWordsEndsAtALineBreak", "one two\nand", 7},
    {"OfWordsEndsAtADigit", "a b c 1 d e", 6},
    {"OfOtherScripts", "\xE4\xB8\xAD\xE4\xB8\xAD 1", 7},
    {"OfBlanksThatAreNotAscii", "1 \xE3\x80\x80 1", 5},
    {"OfBytesThatAreNoUtf8", "\x80\x80\x80", 3},
    {"OfTheLongestOne", "ab 1 abcd 1 abc", 6},
};
INSTANTIATE_TEST_SUITE_P(, LongestRun, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir
