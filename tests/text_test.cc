#include "engine/text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace choir {
namespace {

struct Shown {
  std::string text;
  TextEnd end = TextEnd::kOpen;
  bool operator==(const Shown&) const = default;
};
void PrintTo(const Shown& s, std::ostream* out) {
  *out << testing::PrintToString(s.text) << (s.end == TextEnd::kOpen ? " open" : " stopped");
}

Shown show(const std::vector<std::string>& pieces, const std::vector<std::string>& stops) {
  Shown shown;
  TextCarry carry;
  for (const std::string& piece : pieces) {
    shown.end = append_piece(carry, piece, stops, shown.text);
    if (shown.end == TextEnd::kStopString) {
      EXPECT_EQ(carry, TextCarry{}) << "nothing is carried over a stop string";
      return shown;
    }
  }
  finish_text(carry, shown.text);
  EXPECT_EQ(carry, TextCarry{});
  return shown;
}

// The reference decodes by the definition: a sequence is well formed when its code point is allowed
// and would be encoded in just these bytes.
bool well_formed(std::string_view s) {
  const auto at = [&](std::size_t i) {
    return static_cast<unsigned>(static_cast<unsigned char>(s[i]));
  };
  if (s.size() == 1) return at(0) < 0x80;
  const unsigned marks[] = {0, 0, 0xC0, 0xE0, 0xF0}, masks[] = {0, 0, 0x1F, 0x0F, 0x07};
  const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (s.size() < 2 || s.size() > 4 || (at(0) & ~masks[s.size()] & 0xFF) != marks[s.size()])
    return false;
  unsigned code = at(0) & masks[s.size()];
  for (std::size_t i = 1; i < s.size(); ++i) {
    if ((at(i) & 0xC0) != 0x80) return false;
    code = code << 6 | (at(i) & 0x3F);
  }
  return code >= least[s.size()] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

bool begins_a_character(std::string s) {
  if (s.size() > 3) return false;
  for (const char more : {'\x80', '\x90', '\xA0', '\xBF'}) {
    const std::string longer = s + more;
    if (well_formed(longer) || begins_a_character(longer)) return true;
  }
  return false;
}

std::string decoded(std::string_view s) {
  std::string text;
  for (std::size_t i = 0; i < s.size();) {
    std::size_t n = 1;
    while (n <= 4 && i + n <= s.size() && !well_formed(s.substr(i, n))) ++n;
    if (n <= 4 && i + n <= s.size()) {
      text += s.substr(i, n);
    } else {
      n = 1;
      while (i + n < s.size() && begins_a_character(std::string(s.substr(i, n + 1)))) ++n;
      if (i + n == s.size() && begins_a_character(std::string(s.substr(i, n))))
        break;  // unfinished
      text += "\xEF\xBF\xBD";
    }
    i += n;
  }
  return text;
}

Shown expected(const std::string& bytes, const std::vector<std::string>& stops) {
  const std::string text = decoded(bytes);
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops)
      if (std::string_view(text).substr(0, end).ends_with(stop))
        longest = std::max(longest, stop.size());
    if (longest > 0) return {text.substr(0, end - longest), TextEnd::kStopString};
  }
  return {text, TextEnd::kOpen};
}

std::vector<std::string> bytes_of(std::string_view s) {
  std::vector<std::string> pieces;
  for (const char c : s) pieces.emplace_back(1, c);
  return pieces;
}

struct Case {
  std::string name;
  std::vector<std::string> pieces;
  std::vector<std::string> stops;
  Shown want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Text : public testing::TestWithParam<Case> {};

TEST_P(Text, Shows) {
  const Case& c = GetParam();
  EXPECT_EQ(show(c.pieces, c.stops), c.want);
  std::string whole;
  for (const std::string& piece : c.pieces) whole += piece;
  EXPECT_EQ(show({whole}, c.stops), c.want) << "in one piece";
  EXPECT_EQ(show(bytes_of(whole), c.stops), c.want) << "byte by byte";
  EXPECT_EQ(expected(whole, c.stops), c.want) << "the reference";
}

constexpr TextEnd kOpen = TextEnd::kOpen;
constexpr TextEnd kStopped = TextEnd::kStopString;
const std::string kBad = "\xEF\xBF\xBD";

const Case kCases[] = {
    {"Nothing", {}, {}, {"", kOpen}},
    {"EmptyPieces", {"", "a", ""}, {"x"}, {"a", kOpen}},
    {"CharacterOverTwoPieces", {"\xE2\x82", "\xAC!"}, {}, {"\xE2\x82\xAC!", kOpen}},
    {"EmojiOverFourPieces", {"\xF0", "\x9F", "\x98", "\x80"}, {}, {"\xF0\x9F\x98\x80", kOpen}},
    {"UnfinishedCharacterIsDropped", {"a\xE2\x82"}, {}, {"a", kOpen}},
    {"BegunCharacterIsOneReplacement", {"\xE2\x82", "A"}, {}, {kBad + "A", kOpen}},
    {"LoneContinuationsAreOneEach", {"\x80\xBF"}, {}, {kBad + kBad, kOpen}},
    {"OverlongFormIsNotBegun", {"\xC0\x80"}, {}, {kBad + kBad, kOpen}},
    {"OverlongOfThreeBytes", {"\xE0\x80\x80"}, {}, {kBad + kBad + kBad, kOpen}},
    {"SurrogateIsNotACharacter", {"\xED\xA0\x80"}, {}, {kBad + kBad + kBad, kOpen}},
    {"PastTheLastCodePoint", {"\xF4\x90\x80\x80"}, {}, {kBad + kBad + kBad + kBad, kOpen}},
    {"LeadAfterLead", {"\xE2\xE2\x82\xAC"}, {}, {kBad + "\xE2\x82\xAC", kOpen}},
    {"StopAlone", {"stop"}, {"stop"}, {"", kStopped}},
    {"StopOverThreePieces", {"a\n", "\n", "\nb"}, {"\n\n\n"}, {"a", kStopped}},
    {"StopInTheMiddleOfAPiece", {"ab#", "##cd"}, {"###"}, {"ab", kStopped}},
    {"StopThatBeganAndDidNotCome", {"a#", "#b"}, {"###"}, {"a##b", kOpen}},
    {"WhatIsHeldBackAtTheEndIsText", {"a##"}, {"###"}, {"a##", kOpen}},
    {"RestartsInsideItself", {"aa", "ab"}, {"aab"}, {"a", kStopped}},
    {"FirstToEndWins", {"abcd"}, {"abcd", "bc"}, {"a", kStopped}},
    {"LongestOfThoseThatEndTogether", {"xab", "c"}, {"c", "abc", "bc"}, {"x", kStopped}},
    {"StopWithinAnother", {"aXb"}, {"XY", "X"}, {"a", kStopped}},
    {"StopOfSeveralBytesEach",
     {"a\xE2\x82",
      "\xAC"
      "b"},
     {"\xE2\x82\xAC"},
     {"a", kStopped}},
    {"StopAfterAReplacement", {"\xFF", "x"}, {"x"}, {kBad, kStopped}},
};
INSTANTIATE_TEST_SUITE_P(, Text, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(TextStops, EmptyAndInnerContinuationAreIgnored) {
  EXPECT_EQ(show({"\xE2\x82\xAC"}, {"", "\xAC"}), (Shown{"\xE2\x82\xAC", kOpen}));
}

TEST(TextCarryOver, HoldsBackOnlyWhatIsUndecided) {
  TextCarry carry;
  std::string out;
  const std::vector<std::string> stops = {"\n\nQ:"};
  EXPECT_EQ(append_piece(carry, "yes\n\xE2", stops, out), kOpen);
  EXPECT_EQ(out, "yes");
  EXPECT_EQ(carry, (TextCarry{"\xE2", "\n"}));
}

TEST(TextCarryOver, OfAnyBytesGivesWellFormedText) {
  TextCarry carry{"ab\xE2\xE2", ""};
  std::string out;
  append_piece(carry, "\x82\xAC", {}, out);
  EXPECT_EQ(out, "ab" + kBad + "\xE2\x82\xAC");
}

struct Sample {
  std::string bytes;
  std::vector<std::string> stops;
  std::vector<std::string> pieces;
};

Sample random_sample(std::mt19937& rng) {
  const auto upto = [&](std::size_t n) { return static_cast<std::size_t>(rng()) % (n + 1); };
  const std::vector<std::string> few = {"a", "b", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
  const std::string raw = "ab\x80\xBF\x90\xA0\xC0\xC3\xE0\xE2\xED\xF0\xF4\xF5\xFF";
  const bool invalid = upto(1) == 0;
  Sample sample;
  const auto letter = [&] { return few[upto(few.size() - 1)]; };
  for (std::size_t n = upto(40); n > 0; --n)
    sample.bytes += invalid && upto(2) > 0 ? std::string(1, raw[upto(raw.size() - 1)]) : letter();
  for (std::size_t n = upto(4); n > 0; --n) {
    std::string stop = letter();
    for (std::size_t more = upto(3); more > 0; --more) stop += letter();
    sample.stops.push_back(stop);
  }
  for (std::size_t i = 0; i < sample.bytes.size();) {
    const std::size_t n = std::min(upto(6), sample.bytes.size() - i);
    sample.pieces.push_back(sample.bytes.substr(i, n));
    i += n;
  }
  return sample;
}

TEST(TextProperty, SplitsDoNotMatter) {
  for (std::uint32_t seed = 1; seed <= 20'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const Sample sample = random_sample(rng);
    const Shown want = expected(sample.bytes, sample.stops);
    ASSERT_EQ(show(sample.pieces, sample.stops), want);
    ASSERT_EQ(show({sample.bytes}, sample.stops), want);
    ASSERT_EQ(show(bytes_of(sample.bytes), sample.stops), want);
  }
}

TEST(TextProperty, WhatIsShownIsFinalAndAsMuchAsCanBe) {
  for (std::uint32_t seed = 1; seed <= 5'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const Sample sample = random_sample(rng);
    const Shown want = expected(sample.bytes, sample.stops);
    TextCarry carry;
    std::string out, fed;
    for (const std::string& piece : sample.pieces) {
      fed += piece;
      if (append_piece(carry, piece, sample.stops, out) == kStopped) break;
      ASSERT_TRUE(want.text.starts_with(out)) << "text was shown that had to be taken back";
      ASSERT_EQ(decoded(out), out) << "a character was split";
      ASSERT_EQ(out + carry.pending, decoded(fed)) << "text got lost";
      ASSERT_TRUE(carry.pending.empty() ||
                  std::ranges::any_of(
                      sample.stops,
                      [&](const std::string& stop) { return stop.starts_with(carry.pending); }))
          << "text was held back without need";
    }
  }
}

}  // namespace
}  // namespace choir
