#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "choir/text.h"

namespace choir {
namespace {

struct Case {
  std::string name;
  std::string text;
  std::size_t characters_max;
  std::string want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class PrintableLine : public testing::TestWithParam<Case> {};

TEST_P(PrintableLine, Gives) {
  const Case& c = GetParam();
  EXPECT_EQ(printable_line(c.text, c.characters_max), c.want);
}

const Case kCases[] = {
    {"NothingForNothing", "", 10, ""},
    {"ShortTextAsItIs", "a choir", 10, "a choir"},
    {"ExactlyTheRoomAsItIs", "0123456789", 10, "0123456789"},
    {"OneTooManyEndsInDots", "0123456789a", 10, "0123456..."},
    {"CountsCharactersNotBytes", "äöüäöüäöüä", 10, "äöüäöüäöüä"},
    {"CutsBetweenCharacters", "äöüäöüäöüäö", 10, "äöüäöüä..."},
    {"KeepsFourByteCharactersWhole", "🎯🎯🎯🎯🎯🎯", 5, "🎯🎯..."},
    {"NewlineAndTabAreEscaped", "a\nb\tc\r", 20, "a\\nb\\tc\\r"},
    {"EscapeSequencesCannotAct", "\x1b[2Jx", 20, "\\x1b[2Jx"},
    {"ZeroAndDelete", std::string("a\0b\x7f", 4), 20, "a\\x00b\\x7f"},
    {"C1ControlsAreEscaped",
     "\xc2\x9b"
     "31m",
     20, "\\u009b31m"},
    {"DirectionOverrideIsEscaped", "\xe2\x80\xaetxt", 20, "\\u202etxt"},
    {"LineSeparatorIsEscaped",
     "a\xe2\x80\xa8"
     "b",
     20, "a\\u2028b"},
    {"StrayByteIsEscaped",
     "a\xff"
     "b",
     20, "a\\xffb"},
    {"CutCharacterIsEscaped", "a\xe2\x82", 20, "a\\xe2\\x82"},
    {"SurrogateIsNotUtf8", "\xed\xa0\x80", 20, "\\xed\\xa0\\x80"},
    {"OverlongIsNotUtf8", "\xc0\x80", 20, "\\xc0\\x80"},
    {"AnEscapeIsNeverCut", "abcde\n\n\n", 8, "abcde..."},
    {"AtLeastFourCharacters", "abcdef", 0, "a..."},
};
INSTANTIATE_TEST_SUITE_P(, PrintableLine, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(PrintableLineProperty, AnyBytesBecomeOneSafeLineOfUtf8) {
  for (std::uint32_t seed = 1; seed <= 5000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::string text(random() % 40, ' ');
    for (char& c : text) c = static_cast<char>(random() % 3 == 0 ? random() % 128 : random() % 256);
    const std::size_t room = 4 + random() % 30;
    const std::string line = printable_line(text, room);
    ASSERT_FALSE(first_invalid_utf8(line));
    std::size_t characters = 0;
    for (const char c : line) {
      const auto byte = static_cast<unsigned char>(c);
      ASSERT_TRUE(byte >= 0x20 && byte != 0x7f) << int{byte};
      characters += (byte & 0xC0U) != 0x80U ? 1 : 0;
    }
    ASSERT_LE(characters, room);
  }
}

}  // namespace
}  // namespace choir
