#include "serve/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <set>
#include <string>

namespace choir::serve {
namespace {

using testing::HasSubstr;

ApiResult<Asked> chat(const std::string& more) {
  return read_fields(kChat, Json::parse(R"({"messages": [{"role": "user", "content": "a"}])" +
                                        (more.empty() ? "" : ", " + more) + "}"));
}

// ---- the table ----------------------------------------------------------------------------------

TEST(Fields, HaveEachNameOnceInARoute) {
  for (const Routes route : {kChat, kCompletion, kEmbeddings}) {
    std::set<std::string_view> names;
    for (const Field& field : fields()) {
      if ((field.routes & route) == 0) continue;
      EXPECT_TRUE(names.insert(field.name).second) << field.name;
      if (field.alias.empty()) continue;
      EXPECT_TRUE(names.insert(field.alias).second) << field.alias;
    }
  }
}

TEST(Fields, OfEachClassHaveWhatTheClassNeeds) {
  for (const Field& field : fields()) {
    EXPECT_FALSE(field.meaning.empty()) << field.name;
    EXPECT_EQ(field.set != nullptr, field.effect == Effect::kActs) << field.name;
    EXPECT_TRUE(field.off == nullptr || field.effect == Effect::kRefused) << field.name;
    const bool number = field.kind == Kind::kInteger || field.kind == Kind::kNumber;
    EXPECT_TRUE(!number || field.least < field.most) << field.name;
  }
}

Json body_of(Routes route) {
  if (route == kChat) return {{"messages", {{{"role", "user"}, {"content", "a"}}}}};
  if (route == kCompletion) return {{"prompt", "a"}};
  return {{"input", "a"}};
}

// Whatever a field is given, the answer is a value or an error that names the field.
TEST(Fields, TakeOrRefuseEveryKindOfValueByTheirName) {
  const Json values[] = {nullptr,
                         true,
                         false,
                         0,
                         1,
                         -1,
                         1e300,
                         -0.5,
                         "",
                         "a",
                         std::string(5000, 'a'),
                         Json::array(),
                         Json::object(),
                         {1, 2},
                         {"a", 1},
                         {{"a", 1}},
                         {{"type", 1}},
                         {{{"role", 1}}},
                         {{1, 2}, {3}},
                         9007199254740993,
                         "auto",
                         {nullptr}};
  for (const Routes route : {kChat, kCompletion, kEmbeddings}) {
    for (const Field& field : fields()) {
      if ((field.routes & route) == 0) continue;
      for (const Json& value : values) {
        Json body = body_of(route);
        body[std::string(field.name)] = value;
        const auto asked = read_fields(route, body);
        if (asked) continue;
        EXPECT_EQ(asked.error().status, 400) << field.name << " " << value;
        EXPECT_THAT(asked.error().param, testing::StartsWith(std::string(field.name)))
            << field.name << " " << value;
        EXPECT_THAT(asked.error().message, HasSubstr(asked.error().param));
      }
    }
  }
}

TEST(Fields, OfNumbersTakeTheirBounds) {
  for (const Field& field : fields()) {
    if (field.effect != Effect::kActs ||
        (field.kind != Kind::kInteger && field.kind != Kind::kNumber))
      continue;
    const Routes route = (field.routes & kChat) != 0 ? kChat : kEmbeddings;
    const auto with = [&](double value) {
      Json body = body_of(route);
      if (field.kind == Kind::kInteger)
        body[std::string(field.name)] = static_cast<std::int64_t>(value);
      else
        body[std::string(field.name)] = value;
      return read_fields(route, body).has_value();
    };
    EXPECT_TRUE(with(field.least)) << field.name;
    EXPECT_TRUE(with(field.most)) << field.name;
    EXPECT_FALSE(with(field.least - 1)) << field.name;
    EXPECT_FALSE(with(field.most + std::max(1.0, field.most * 1e-3))) << field.name;
  }
}

// ---- values -------------------------------------------------------------------------------------

TEST(ReadFields, GivesWhatWasAskedFor) {
  const auto asked = chat(R"("model": "a", "temperature": 0, "top_k": 3, "seed": 7, "stream": true,
      "max_completion_tokens": 9, "stop": ["x", "y"], "logit_bias": {"5": -100}, "priority": "high",
      "stream_options": {"include_usage": true}, "user": "me", "tools": [], "n": 1, "temp": 3)");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->model, "a");
  EXPECT_EQ(asked->request.sampling.temperature, 0);
  EXPECT_EQ(asked->request.sampling.top_k, 3);
  EXPECT_EQ(asked->request.sampling.seed, 7U);
  EXPECT_TRUE(asked->stream && asked->include_usage && asked->max_tokens_given &&
              asked->seed_given);
  EXPECT_EQ(asked->request.max_tokens, 9);
  EXPECT_EQ(asked->request.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(asked->request.sampling.bias, (std::vector<LogitBias>{{5, -100}}));
  EXPECT_EQ(asked->request.priority, Priority::kHigh);
  EXPECT_EQ(asked->ignored, std::vector<std::string>{"temp"});
}

TEST(ReadFields, GivesTextsOrTokensToEmbed) {
  const auto embed = [](const char* input) {
    return read_fields(kEmbeddings, Json{{"input", Json::parse(input)}}).value().embed;
  };
  EXPECT_EQ(embed(R"("a")").texts, std::vector<std::string>{"a"});
  EXPECT_EQ(embed(R"(["a", "b"])").texts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(embed("[1, 2]").tokens, (std::vector<std::vector<TokenId>>{{1, 2}}));
  EXPECT_EQ(embed("[[1, 2], [3]]").tokens, (std::vector<std::vector<TokenId>>{{1, 2}, {3}}));
  EXPECT_TRUE(embed("[[1, 2], [3]]").texts.empty());
}

TEST(ReadFields, TakesNullAsLeftOut) {
  const auto asked = chat(R"("max_tokens": null, "stop": null, "tools": null, "logprobs": null)");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_FALSE(asked->max_tokens_given);
}

TEST(ReadFields, JoinsPartsAndKnowsDevelopers) {
  const auto asked =
      read_fields(kChat, Json::parse(R"({"messages": [{"role": "developer", "content": "be short"},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "tool_calls": []}]})"));
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->request.messages,
            (std::vector<Message>{{"system", "be short"}, {"user", "a\nb"}, {"assistant", ""}}));
}

struct Wrong {
  std::string name;
  std::string more;
  std::string param;
  std::string says;
};
void PrintTo(const Wrong& c, std::ostream* out) { *out << c.name; }
class Refused : public testing::TestWithParam<Wrong> {};

TEST_P(Refused, NamesTheField) {
  const auto asked = chat(GetParam().more);
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().status, 400);
  EXPECT_EQ(asked.error().param, GetParam().param);
  EXPECT_THAT(asked.error().message, HasSubstr(GetParam().says));
}

const Wrong kWrong[] = {
    {"TextForANumber", R"("temperature": "hot")", "temperature",
     "\"hot\"; it takes a number from 0 to 10"},
    {"NumberOutOfRange", R"("top_p": 1.5)", "top_p", "1.5"},
    {"FractionForAWholeNumber", R"("max_tokens": 1.5)", "max_tokens", "a whole number"},
    {"NoTokens", R"("max_tokens": 0)", "max_tokens", "is 0"},
    {"Tools", R"("tools": [{"type": "function"}])", "tools", "not understood yet"},
    {"SeveralAnswers", R"("n": 2)", "n", "1 is accepted"},
    {"JsonMode", R"("response_format": {"type": "json_object"})", "response_format", "only"},
    {"UnknownPriority", R"("priority": "soon")", "priority", "critical, high, normal or low"},
    {"UnknownWhereStrict", R"("temprature": 1, "strict_fields": true)", "temprature",
     "did you mean 'temperature'"},
};
INSTANTIATE_TEST_SUITE_P(, Refused, testing::ValuesIn(kWrong),
                         [](const auto& c) { return c.param.name; });

TEST(ReadFields, NamesTheMessageAndPartThatAreWrong) {
  const auto asked =
      read_fields(kChat, Json::parse(R"({"messages": [{"role": "user", "content": "a"},
      {"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]})"));
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().param, "messages.1.content.0");
  EXPECT_EQ(asked.error().pointer, "/messages/1/content/0");
  EXPECT_THAT(asked.error().message, HasSubstr("image_url"));
}

// ---- JSON ---------------------------------------------------------------------------------------

struct Text {
  std::string name;
  std::string json;
  std::string says;
};
void PrintTo(const Text& c, std::ostream* out) { *out << c.name; }
class ParseJson : public testing::TestWithParam<Text> {};

TEST_P(ParseJson, RefusesInASentence) {
  const auto json = parse_json(GetParam().json);
  ASSERT_FALSE(json);
  EXPECT_THAT(json.error().message, HasSubstr(GetParam().says));
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

const Text kTexts[] = {
    {"Nothing", "", "no JSON at byte"},
    {"HalfAnObject", "{\"a\": 1", "no JSON at byte"},
    {"Rest", "{} {}", "no JSON at byte"},
    {"Nan", "{\"a\": NaN}", "no JSON at byte"},
    {"NotUtf8", "{\"a\": \"\xff\"}", "no JSON at byte"},
    {"LoneSurrogate", R"({"a": "\ud800"})", "no JSON at byte"},
    {"TwiceTheKey", R"({"a": 1, "a": 2})", "'a' is there twice"},
    {"Deep", repeated("[", 65) + repeated("]", 65), "deeper than 64"},
    {"VeryDeep", repeated("[", 1000000), "deeper than 64"},
    {"ManyValues", "[" + repeated("1,", 200001) + "1]", "more than 200000 values"},
    {"LongNumber", "1" + repeated("0", 100), "a number has 101 characters"},
    {"HugeNumber", "1e999", "no JSON"},
};
INSTANTIATE_TEST_SUITE_P(, ParseJson, testing::ValuesIn(kTexts),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir::serve
