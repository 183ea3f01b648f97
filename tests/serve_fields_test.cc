#include "serve/fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <set>
#include <string>

#include "serve/field_values.h"

namespace choir::serve {
namespace {

using testing::HasSubstr;

ApiResult<Asked> chat(const std::string& more) {
  return read_fields(kChat, Json::parse(R"({"messages": [{"role": "user", "content": "a"}])" +
                                        (more.empty() ? "" : ", " + more) + "}"));
}

constexpr Routes kRoutes[] = {kChat, kCompletion, kEmbeddings, kLlamaCompletion};

// ---- the table ----------------------------------------------------------------------------------

TEST(Fields, HaveEachNameOnceInARoute) {
  for (const Routes route : kRoutes) {
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
    EXPECT_TRUE(field.off.empty() || field.effect == Effect::kRefused) << field.name;
    const bool number = field.kind == Kind::kInteger || field.kind == Kind::kNumber;
    EXPECT_TRUE(!number || field.least < field.most) << field.name;
  }
}

Json body_of(Routes route) {
  if (route == kChat) return {{"messages", {{{"role", "user"}, {"content", "a"}}}}};
  if (route == kEmbeddings) return {{"input", "a"}};
  return {{"prompt", "a"}};
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
  for (const Routes route : kRoutes) {
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
    if (field.name == "best_of") continue;  // takes the number of `n` only
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

TEST(ReadFields, RememberWhichOneSaysTheClass) {
  EXPECT_EQ(chat(R"("model": "a", "service_tier": "priority")")->class_field, "service_tier");
  EXPECT_EQ(chat(R"("model": "a", "service_tier": "priority", "priority": "high")")->class_field,
            "priority");
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

TEST(ReadFields, TakesAFieldWithoutANameAsUnknown) {
  const auto asked = chat(R"("": "a")");
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->model, "");
  EXPECT_EQ(asked->ignored, std::vector<std::string>{""});
}

TEST(ReadFields, TakesTwoNamesWithOneValue) {
  EXPECT_EQ(chat(R"("n": 2, "n_cmpl": 2, "max_tokens": 5, "n_predict": 5)")->choices, 2);
  EXPECT_EQ(chat(R"("n": 2, "n_cmpl": null)")->choices, 2);
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

TEST(ReadFields, TakesOnePromptOrAList) {
  const auto prompts = [](const std::string& prompt) {
    const auto asked = read_fields(kCompletion, Json::parse("{\"prompt\": " + prompt + "}"));
    EXPECT_TRUE(asked) << asked.error().message;
    return asked->prompts;
  };
  using Prompts = std::vector<Prompt>;
  EXPECT_EQ(prompts(R"("a")"), (Prompts{{"a", {}}}));
  EXPECT_EQ(prompts("[1, 2]"), (Prompts{{"", {1, 2}}}));
  EXPECT_EQ(prompts(R"(["a", "b"])"), (Prompts{{"a", {}}, {"b", {}}}));
  EXPECT_EQ(prompts("[[1, 2], [3]]"), (Prompts{{"", {1, 2}}, {"", {3}}}));
  EXPECT_EQ(prompts("[[1]]"), (Prompts{{"", {1}}}));
  const auto object =
      read_fields(kLlamaCompletion, Json::parse(R"({"prompt": {"prompt_string": "a"}})"));
  ASSERT_TRUE(object) << object.error().message;
  EXPECT_EQ(object->prompts, (Prompts{{"a", {}}}));
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
    {"WholeNumberThatIsNoDouble", R"("seed": 9007199254740993)", "seed", "to 9007199254740992"},
    {"WholeNumberBeyondAll", R"("seed": 18446744073709551615)", "seed", "to 9007199254740992"},
    {"FractionForAWholeNumber", R"("max_tokens": 1.5)", "max_tokens", "a whole number"},
    {"NoTokens", R"("max_tokens": 0)", "max_tokens", "is 0"},
    {"OtherNameOfAField", R"("max_completion_tokens": 0)", "max_completion_tokens",
     "'max_completion_tokens' is 0"},
    {"TwoNamesWithTwoValues", R"("n": 2, "n_cmpl": 3)", "n_cmpl", "is 3 and 'n' is 2"},
    {"ThirdNameWithAnotherValue", R"("max_completion_tokens": 2, "n_predict": 3)", "n_predict",
     "is 3 and 'max_completion_tokens' is 2"},
    {"TooManyStops", R"("stop": ["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g",
      "h"])",
     "stop", "has 17 texts, at most 16"},
    {"EmptyStop", R"("stop": ["a", ""])", "stop.1", "has 0 bytes"},
    {"StopThatIsNoText", R"("stop": ["a", 1])", "stop.1", "is 1; it takes a text"},
    {"SlashInAName", R"("a/b": 1, "strict_fields": true)", "a/b", "no field of this route"},
    {"Tools", R"("tools": [{"type": "function"}])", "tools", "not understood yet"},
    {"MoreAnswersThanAreAllowed", R"("n": 17)", "n", "is 17; it takes a whole number from 1 to 16"},
    {"JsonMode", R"("response_format": {"type": "json_object"})", "response_format", "only"},
    {"UnknownPriority", R"("priority": "soon")", "priority", "critical, high, normal or low"},
    {"UnknownMemberWhereStrict", R"("stream_options": {"include_usge": 1}, "strict_fields": true)",
     "stream_options.include_usge",
     "'stream_options.include_usge' is no field of this route; did you mean 'include_usage'"},
    {"UnknownWhereStrict", R"("temprature": 1, "strict_fields": true)", "temprature",
     "did you mean 'temperature'"},
};
INSTANTIATE_TEST_SUITE_P(, Refused, testing::ValuesIn(kWrong),
                         [](const auto& c) { return c.param.name; });

const Wrong kWrongOfCompletion[] = {
    {"BestOf", R"("prompt": "a", "n": 2, "best_of": 3)", "best_of", "as 'n' asks for (2)"},
    {"BestOfWithoutN", R"("prompt": "a", "best_of": 2)", "best_of", "as 'n' asks for (1)"},
    {"BestOfAText", R"("prompt": "a", "best_of": "2")", "best_of", "a whole number"},
    {"EmptyPromptInAList", R"("prompt": ["a", ""])", "prompt.1", "is empty"},
    {"NoPrompts", R"("prompt": [])", "prompt", "is empty"},
    {"TokensAndTexts", R"("prompt": [1, "a"])", "prompt.1", R"(is "a"; it takes a token)"},
    {"TextsAndTokens", R"("prompt": ["a", 1])", "prompt.1", "is 1; it takes a text or a list"},
    {"AnObject", R"("prompt": {"prompt_string": "a"})", "prompt", "a text or a list of tokens"},
    {"ListsInLists", R"("prompt": [[[1]]])", "prompt.0", "a text or a list of tokens"},
};
class RefusedOfCompletion : public testing::TestWithParam<Wrong> {};
TEST_P(RefusedOfCompletion, NamesTheField) {
  const auto asked = read_fields(kCompletion, Json::parse("{" + GetParam().more + "}"));
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().param, GetParam().param);
  EXPECT_THAT(asked.error().message, HasSubstr(GetParam().says));
}
INSTANTIATE_TEST_SUITE_P(, RefusedOfCompletion, testing::ValuesIn(kWrongOfCompletion),
                         [](const auto& c) { return c.param.name; });

const Wrong kWrongOfEmbeddings[] = {
    {"EmptyText", R"("input": "")", "input", "is empty"},
    {"EmptyTextInAList", R"("input": ["a", ""])", "input.1", "is empty"},
    {"NumberAmongTexts", R"("input": ["a", 5])", "input.1", "is 5; it takes a text"},
    {"TextAmongTokens", R"("input": [5, "a"])", "input.1", R"(is "a"; it takes a token)"},
    {"NoTokenInALists", R"("input": [[5], [5, -1]])", "input.1.1", "is -1; it takes a token"},
    {"EmptyListInAList", R"("input": [[5], []])", "input.1", "a text or a list of tokens"},
    {"NoList", R"("input": {})", "input", "a list of texts"},
    {"Nothing", R"("input": [])", "input", "a list of texts"},
};
class RefusedOfEmbeddings : public testing::TestWithParam<Wrong> {};
TEST_P(RefusedOfEmbeddings, NamesTheField) {
  const auto asked = read_fields(kEmbeddings, Json::parse("{" + GetParam().more + "}"));
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().param, GetParam().param);
  EXPECT_THAT(asked.error().message, HasSubstr(GetParam().says));
}
INSTANTIATE_TEST_SUITE_P(, RefusedOfEmbeddings, testing::ValuesIn(kWrongOfEmbeddings),
                         [](const auto& c) { return c.param.name; });

TEST(ReadFields, LeavesItToTheModelWhetherAChatHasText) {
  const auto asked = read_fields(kChat, Json::parse(R"({"messages": [
      {"role": "user", "content": ""}, {"role": "assistant", "content": null}]})"));
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(check_content(*asked)->pointer, "/messages/1/content");
  Asked filled = *asked;
  filled.request.messages.insert(filled.request.messages.begin(), {"system", "be short"});
  EXPECT_FALSE(check_content(filled));
}

TEST(ReadFields, HasALimitForPromptsTimesAnswers) {
  const auto asked = [](std::size_t prompts, int n) {
    return read_fields(kCompletion, {{"prompt", std::vector<std::string>(prompts, "a")}, {"n", n}});
  };
  EXPECT_TRUE(asked(8, 16));
  EXPECT_TRUE(asked(128, 1));
  EXPECT_THAT(asked(9, 16).error().message, HasSubstr("9 prompts with 16 answers each"));
  EXPECT_THAT(asked(129, 1).error().message, HasSubstr("129 prompts"));
}

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
