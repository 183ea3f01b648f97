#include "serve/shaped_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <ostream>
#include <string>

namespace choir::serve {
namespace {

using testing::HasSubstr;

constexpr auto kFields = std::to_array<BodyField>({
    {"name", {Kind::kText, 1, 8}, "A text", true},
    {"count", {Kind::kInteger, 1, 256}, "A number"},
    {"tokens", {Kind::kTokens}, "Tokens"},
    {"texts", {Kind::kTexts}, "Texts"},
    {"on", {Kind::kBoolean}, "A flag"},
});
constexpr BodyShape kShape = {.fields = kFields};

TEST(ShapedBody, HasTheFieldsThatWereGiven) {
  const auto body =
      read_shaped_body(kShape, R"({"name": "a", "count": 256, "tokens": [0, 5], "on": null})");
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(*body, Json::parse(R"({"name": "a", "count": 256, "tokens": [0, 5]})"));
}

TEST(ShapedBody, MayBeLeftOutWhereNothingIsNeeded) {
  EXPECT_EQ(read_shaped_body({}, "").value(), Json::object());
  EXPECT_EQ(read_shaped_body(kShape, "").error().param, "name");
}

TEST(ShapedBody, IgnoresOtherFieldsWhereTheRouteDoes) {
  const auto body = read_shaped_body({.fields = kFields, .unknown = Unknown::kIgnored},
                                     R"({"name": "a", "x": 1})");
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(*body, Json::parse(R"({"name": "a"})"));
}

TEST(ShapedBody, NamesWhatIsIgnored) {
  std::vector<std::string> ignored;
  const auto body = read_shaped_body({.fields = kFields, .unknown = Unknown::kIgnored},
                                     R"({"name": "a", "x": 1, "strict_fields": false})", &ignored);
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(ignored, std::vector<std::string>{"x"});
}

struct Wrong {
  std::string name;
  std::string body;
  std::string pointer;
  std::string says;
};
void PrintTo(const Wrong& c, std::ostream* out) { *out << c.name; }
class Refused : public testing::TestWithParam<Wrong> {};

TEST_P(Refused, NamesTheField) {
  const auto body = read_shaped_body(kShape, GetParam().body);
  ASSERT_FALSE(body);
  EXPECT_EQ(body.error().status, 400);
  EXPECT_EQ(body.error().pointer, GetParam().pointer);
  EXPECT_THAT(body.error().message, HasSubstr(GetParam().says));
}

const Wrong kWrong[] = {
    {"NoJson", "{", "", "no JSON at byte"},
    {"NoObject", "[]", "", "no JSON object"},
    {"Missing", R"({"count": 1})", "/name", "'name' is missing; it takes a text of 1 to 8 bytes"},
    {"NullOfWhatIsNeeded", R"({"name": null})", "/name", "is missing"},
    {"TooShort", R"({"name": ""})", "/name", "1 to 8 bytes"},
    {"TooLong", R"({"name": "123456789"})", "/name", "1 to 8 bytes"},
    {"BelowTheLeast", R"({"name": "a", "count": 0})", "/count", "a whole number from 1 to 256"},
    {"AboveTheMost", R"({"name": "a", "count": 257})", "/count", "a whole number from 1 to 256"},
    {"Fraction", R"({"name": "a", "count": 1.5})", "/count", "is 1.5"},
    {"NegativeToken", R"({"name": "a", "tokens": [1, -1]})", "/tokens/1",
     "is -1; it takes a token"},
    {"NoListOfTokens", R"({"name": "a", "tokens": 1})", "/tokens",
     "is 1; it takes a list of tokens"},
    {"HugeToken", R"({"name": "a", "tokens": [4294967296]})", "/tokens/0", "takes a token"},
    {"NoText", R"({"name": "a", "texts": ["b", 1]})", "/texts/1", "is 1; it takes a text"},
    {"NoFlag", R"({"name": "a", "on": 1})", "/on", "true or false"},
    {"Unknown", R"({"name": "a", "cuont": 1})", "/cuont", "did you mean 'count'?"},
    {"UnknownWithMarks", R"({"name": "a", "a/b~": 1})", "/a~1b~0", "is no field of this route"},
};
INSTANTIATE_TEST_SUITE_P(, Refused, testing::ValuesIn(kWrong),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir::serve
