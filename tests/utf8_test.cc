#include "base/utf8.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace choir {
namespace {

using Kind = Utf8Front::Kind;

std::string encode(std::uint32_t c) {
  auto tail = [&](unsigned shift) { return static_cast<char>(0x80U | (c >> shift & 0x3FU)); };
  if (c < 0x80) return std::string{static_cast<char>(c)};
  if (c < 0x800) return std::string{static_cast<char>(0xC0U | c >> 6U), tail(0)};
  if (c < 0x10000) return std::string{static_cast<char>(0xE0U | c >> 12U), tail(6), tail(0)};
  return std::string{static_cast<char>(0xF0U | c >> 18U), tail(12), tail(6), tail(0)};
}

struct FrontCase {
  std::string name, text;
  Utf8Front want;
};
void PrintTo(const FrontCase& c, std::ostream* out) { *out << c.name; }

class Utf8FrontOf : public testing::TestWithParam<FrontCase> {};

TEST_P(Utf8FrontOf, IsTheMaximalPart) { EXPECT_EQ(utf8_front(GetParam().text), GetParam().want); }

const FrontCase kFronts[] = {
    {"Letter", "ab", {Kind::kCharacter, 1, U'a'}},
    {"Zero", std::string(2, '\0'), {Kind::kCharacter, 1, 0}},
    {"TwoBytes", "\xC3\xA4x", {Kind::kCharacter, 2, 0xE4}},
    {"ThreeBytes", "\xE2\x82\xAC\x80", {Kind::kCharacter, 3, 0x20AC}},
    {"FourBytes", "\xF0\x9F\x8E\xAF", {Kind::kCharacter, 4, 0x1F3AF}},
    {"OneByteOfTwo", "\xC3", {Kind::kUnfinished, 1}},
    {"OneByteOfThree", "\xE2", {Kind::kUnfinished, 1}},
    {"TwoBytesOfThree", "\xE2\x82", {Kind::kUnfinished, 2}},
    {"ThreeBytesOfFour", "\xF0\x9F\x8E", {Kind::kUnfinished, 3}},
    {"StrayContinuation", "\x80\x80", {Kind::kInvalid, 1}},
    {"NoContinuation", "\xC3x", {Kind::kInvalid, 1}},
    {"LateNoContinuation", "\xF0\x9F\x8Ex", {Kind::kInvalid, 3}},
    {"Overlong", "\xE0\x80\x80", {Kind::kInvalid, 1}},
    {"Surrogate", "\xED\xA0\x80", {Kind::kInvalid, 1}},
    {"BehindTheLastPlane", "\xF4\x90\x80\x80", {Kind::kInvalid, 1}},
    {"NoLead", "\xFF", {Kind::kInvalid, 1}},
};
INSTANTIATE_TEST_SUITE_P(, Utf8FrontOf, testing::ValuesIn(kFronts),
                         [](const auto& c) { return c.param.name; });

// Every code point, written by the textbook, is one; cut short it is not.
TEST(Utf8, AcceptsExactlyTheCharacters) {
  for (std::uint32_t c = 0; c < 0x1FFFFF; ++c) {
    const bool is_character = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
    const std::string text = "1234567" + encode(c);
    ASSERT_EQ(first_invalid_utf8(text), is_character ? std::nullopt : std::optional<std::size_t>(7))
        << c;
    if (is_character) {
      ASSERT_EQ(utf8_of(c), encode(c)) << c;
      const Utf8Front want{Kind::kCharacter, encode(c).size(), c};
      ASSERT_EQ(utf8_front(encode(c) + "x"), want) << c;
    }
    if (c < 0x80) continue;
    ASSERT_EQ(first_invalid_utf8(text.substr(0, text.size() - 1)), 7U) << c;
  }
}

TEST(Utf8, RefusesACharacterWithoutItsContinuation) {
  for (const char* text : {"\xC3x", "\xE2\x82x", "\xE2x\xAC", "\xF0\x9F\x98x", "\xF0\x9Fx\x80"})
    EXPECT_EQ(first_invalid_utf8(text), 0U);
}

TEST(Utf8, DoesNotLookBehindTheEndForTheContinuation) {
  EXPECT_EQ(first_invalid_utf8(std::string_view("\xE2\x82\xAC").substr(0, 2)), 0U);
}

TEST(Utf8, RefusesOverlongForms) {
  for (const char* text : {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF"})
    EXPECT_EQ(first_invalid_utf8(text), 0U);
}

TEST(Utf8, FindsOneBadByteAnywhereInLongText) {
  std::string text(100, 'a');
  for (std::size_t at = 0; at < text.size(); ++at) {
    text[at] = '\xFE';
    ASSERT_EQ(first_invalid_utf8(text), at);
    text[at] = 'a';
  }
}

}  // namespace
}  // namespace choir
