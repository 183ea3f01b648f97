#include "engine/control_texts.h"

#include <gtest/gtest.h>

#include <array>

#include "sim/fake_engine.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

using Cuts = std::vector<std::size_t>;

const std::string kMark = "\xEE\x80\x80";  // the first character for private use

struct Case {
  std::string name;
  std::string text;
  Cuts want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class ControlTextCuts : public testing::TestWithParam<Case> {};

TEST_P(ControlTextCuts, Are) {
  const ControlTexts texts(
      std::array<std::string, 6>{"<s>", "<|end|>", "|end|", "\xE2\x96\x81<x>", "", "x"});
  EXPECT_EQ(texts.cuts(GetParam().text), GetParam().want);
}

const Case kCases[] = {
    {"NoneInOrdinaryText", "a < b, |end and <|end", {}},
    {"BehindTheFirstCharacter", "<s>", {1}},
    {"OfAllInARow", "<s><s> <s>", {1, 4, 8}},
    {"OfThoseThatOverlap", "<|end|>", {1, 2}},
    {"BehindAWholeCharacter", "a\xE2\x96\x81<x>", {4}},
    {"NoneInsideOfOneCharacter", "x", {}},
};
INSTANTIATE_TEST_SUITE_P(, ControlTextCuts, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(ControlMarks, AreTakenOutWhereTheyWerePutIn) {
  const Cuts cuts = {0, 2, 5};
  const std::string marked = with_marks("abcde", cuts, kMark);
  EXPECT_EQ(marked, kMark + "ab" + kMark + "cde" + kMark);
  EXPECT_EQ(without_marks(marked, kMark), (Rendered{.text = "abcde", .cuts = cuts}));
}

TEST(ControlMarks, AreNoCharacterOfAMessageOrTheTemplate) {
  EXPECT_EQ(free_mark({}, ""), kMark);
  const std::array<Message, 1> messages = {Message{"user", "a\xEE\x80\x80z"}};
  EXPECT_EQ(free_mark(messages, ""), "\xEE\x80\x81");
  EXPECT_EQ(free_mark(messages, "b\xEE\x80\x81"), "\xEE\x80\x82");
}

TEST(ControlMarks, AreNoneWhereAllAreTaken) {
  std::string all;
  for (unsigned c = 0xE000; c < 0xF900; ++c) {
    all += static_cast<char>(0xE0U | c >> 12U);
    all += static_cast<char>(0x80U | (c >> 6U & 0x3FU));
    all += static_cast<char>(0x80U | (c & 0x3FU));
  }
  EXPECT_EQ(free_mark({}, all), std::nullopt);
  EXPECT_EQ(free_mark({}, all.substr(0, all.size() - 3)), "\xEF\xA3\xBF");
}

// How many control tokens the model saw: the fake one's texts are bytes, and an end is one token.
std::int32_t prompt_tokens(const Request& request) {
  const auto runtime = start();
  EXPECT_TRUE(runtime->add(executor("a")));
  return runtime->run(request)->usage.prompt_tokens;
}

const std::string kEndText(sim::FakeModel::kEndText);

Request with_messages(const std::string& content) {
  Request r = request("a", "");
  r.messages = {{"user", content}};
  return r;
}

TEST(ControlTokensInMessages, AreText) {
  const std::int32_t without = prompt_tokens(with_messages("."));
  EXPECT_EQ(prompt_tokens(with_messages("." + kEndText)),
            without + static_cast<std::int32_t>(kEndText.size()));
}

TEST(ControlTokensInMessages, CountWhereTheCallerSaysSo) {
  const std::int32_t without = prompt_tokens(with_messages("."));
  Request r = with_messages("." + kEndText);
  r.parse_special = true;
  EXPECT_EQ(prompt_tokens(r), without + 1);
}

TEST(ControlTokensInRawText, Count) { EXPECT_EQ(prompt_tokens(request("a", "." + kEndText)), 2); }

}  // namespace
}  // namespace choir
