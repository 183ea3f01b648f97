// What answers look like in each dialect, and what the node is asked to do for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "serve/llama_out.h"
#include "serve/openai_out.h"
#include "serve/request_of.h"
#include "tests/golden.h"

namespace choir::serve {
namespace {

Completion completion(const std::string& text, Finish finish, std::int32_t reused) {
  Completion made;
  made.text = text;
  made.tokens = {7, 8};
  made.finish = finish;
  made.usage = {.prompt_tokens = 6,
                .output_tokens = 2,
                .reused_tokens = reused,
                .recomputed_tokens = 0,
                .queue_seconds = 0.25,
                .first_token_seconds = 0.5,
                .total_seconds = 0.75};
  return made;
}

AnswerInfo answer(std::size_t prompts, std::size_t choices) {
  AnswerInfo made{.id = "id-1",
                  .model = "m",
                  .created = 1700000000,
                  .prompts = prompts,
                  .choices = choices,
                  .stream = true,
                  .include_usage = true};
  for (std::size_t i = 0; i < prompts; ++i) {
    Request request;
    request.text = "Once \"" + std::to_string(i) + "\"";
    request.max_tokens = 2;
    request.sampling.seed = 7;
    request.sampling.temperature = 0.5F;
    request.sampling.top_p = 0.75F;
    request.sampling.min_p = 0.125F;
    request.sampling.bias = {{5, -1.5F}};
    request.stop = {"end"};
    made.requests.push_back(request);
    made.prompt_tokens.push_back(6);
  }
  return made;
}

StreamPiece piece(const std::string& text, std::vector<TokenId> tokens) {
  return {.text = text, .tokens = std::move(tokens), .end = std::nullopt};
}

const std::vector<ChoiceEnd> kEnds = {{completion("ab", Finish::kLength, 0), ""},
                                      {completion("\"c\n", Finish::kStop, 5), "end"}};

std::string pretty(const std::string& json) { return Json::parse(json).dump(1) + "\n"; }

// Whole, then as a stream, then as a stream that breaks off.
std::string shown(const Dialect& dialect, const AnswerInfo& asked) {
  const ApiError broken = api_error({Code::kCancelled, "it was cancelled"});
  std::string out = pretty(dialect.writer(asked)->whole(kEnds)) + "\n";
  const auto writer = dialect.writer(asked);
  out += writer->begin();
  out += writer->text(0, piece("a", {7}));
  out += writer->text(1, piece("\"c\n", {7, 8}));
  out += writer->text(0, piece("", {9}));
  out += writer->text(0, piece("b", {}));
  out += writer->end(1, kEnds[1]);
  out += writer->end(0, kEnds[0]);
  out += writer->finish(kEnds);
  return out + "\n" + dialect.writer(asked)->error(broken) + "\n" +
         pretty(to_text(dialect.error(broken)));
}

TEST(Answers, OfAChatAreThoseOfOpenAi) {
  expect_golden("serve_openai_chat.txt", shown(openai_chat(), answer(1, 2)));
}
TEST(Answers, OfCompletionsAreThoseOfOpenAi) {
  expect_golden("serve_openai_completions.txt", shown(openai_completions(), answer(2, 1)));
}
TEST(Answers, OfCompletionAreThoseOfLlama) {
  expect_golden("serve_llama_completion.txt", shown(llama_completion(), answer(2, 1)));
}

TEST(Answers, HaveTheFieldsThatWereAskedFor) {
  AnswerInfo asked = answer(1, 1);
  asked.return_tokens = true;
  asked.response_fields = {"tokens", "timings/prompt_n", "prompt/x", "nothing", "stop/"};
  const std::vector<ChoiceEnd> one = {kEnds[0]};
  EXPECT_EQ(Json::parse(llama_completion().writer(asked)->whole(one)),
            Json::parse(R"({"tokens": [7, 8], "timings/prompt_n": 6})"));
}

TEST(Answers, OfOneChoiceAreNoList) {
  const std::vector<ChoiceEnd> one = {kEnds[0]};
  const Json json = Json::parse(llama_completion().writer(answer(1, 1))->whole(one));
  EXPECT_EQ(json["content"], "ab");
  EXPECT_EQ(json["tokens"], Json::array()) << "they were not asked for";
}

struct End {
  std::string name;
  Finish finish;
  std::int32_t max_tokens;  // that were asked for; there are 2
  std::string stop;
  std::string type;
  bool truncated;
};
void PrintTo(const End& c, std::ostream* out) { *out << c.name; }
class LlamaEnds : public testing::TestWithParam<End> {};

TEST_P(LlamaEnds, SayWhatEndedThem) {
  AnswerInfo asked = answer(1, 1);
  asked.requests[0].max_tokens = GetParam().max_tokens;
  const std::vector<ChoiceEnd> one = {{completion("ab", GetParam().finish, 0), GetParam().stop}};
  const Json json = Json::parse(llama_completion().writer(asked)->whole(one));
  EXPECT_EQ(json["stop_type"], GetParam().type);
  EXPECT_EQ(json["stopping_word"], GetParam().stop);
  EXPECT_EQ(json["truncated"], GetParam().truncated);
}
const End kEndings[] = {
    {"ByTheModel", Finish::kStop, 9, "", "eos", false},
    {"ByAStopString", Finish::kStop, 9, "end", "word", false},
    {"ByMaxTokens", Finish::kLength, 2, "", "limit", false},
    {"ByTheContext", Finish::kLength, std::numeric_limits<std::int32_t>::max(), "", "limit", true},
};
INSTANTIATE_TEST_SUITE_P(, LlamaEnds, testing::ValuesIn(kEndings),
                         [](const auto& c) { return c.param.name; });

TEST(UsageOf, CountsEachPromptOnce) {
  const std::vector<ChoiceEnd> ends = {kEnds[0], kEnds[1], kEnds[1], kEnds[1]};
  const Usage two_of_two = usage_of(ends, 2);
  EXPECT_EQ(two_of_two.prompt_tokens, 12);
  EXPECT_EQ(two_of_two.output_tokens, 8);
  EXPECT_EQ(two_of_two.reused_tokens, 5) << "choices after the first find what that has computed";
  EXPECT_EQ(usage_of(ends, 4).prompt_tokens, 6);
}

// ---- the node's requests

TEST(RequestsOf, AreEachWhatItsPromptAloneGets) {
  Asked asked;
  asked.request.stop = {"x"};
  asked.request.sampling.seed = 7;
  asked.seed_given = true;
  asked.prompts = {{"a", {}}, {"", {1, 2}}};
  asked.cache_salt = "salt";
  const auto requests = requests_of(asked, {.tenant = "t", .weight = 2}, "m");
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].text, "a");
  EXPECT_EQ(requests[1].text, "");
  EXPECT_EQ(requests[1].tokens, (std::vector<TokenId>{1, 2}));
  for (const Request& request : requests) {
    EXPECT_EQ(request.executor, "m");
    EXPECT_EQ(request.tenant, "t");
    EXPECT_EQ(request.tenant_weight, 2);
    EXPECT_EQ(request.stop, std::vector<std::string>{"x"});
    EXPECT_EQ(request.sampling.seed, 7U);
    EXPECT_EQ(request.reuse_scope.size(), 71U);
    EXPECT_EQ(request.max_tokens, std::numeric_limits<std::int32_t>::max());
  }
}

// What one tenant has computed is never found by another, whatever their names and salts are.
TEST(RequestsOf, OfOthersNeverShareAScope) {
  const auto scope = [](const std::string& tenant, const std::string& salt,
                        const std::string& key) {
    Asked asked;
    asked.cache_salt = salt;
    asked.prompt_cache_key = key;
    return request_of(asked, {.tenant = tenant}, "m").reuse_scope;
  };
  const std::set<std::string> all = {
      scope("a", "x/y", ""), scope("a/x", "y", ""), scope("a/x/y", "", "k"), scope("a", "x", "y"),
      scope("a", "xy", ""),  scope("a", "", "xy"),  scope("a", "", ""),      scope("b", "x", "y")};
  EXPECT_EQ(all.size(), 8U);
  EXPECT_EQ(scope("a", "x", "y"), scope("a", "x", "y"));
  const std::string longest(kNameBytesMax, 'a');
  EXPECT_LE(scope(longest, longest, longest).size(), kNameBytesMax);
}

TEST(RequestsOf, WithoutASeedHaveSeedsOfTheirOwn) {
  Asked asked;
  asked.prompts = std::vector<Prompt>(8, Prompt{"a", {}});
  std::set<std::uint64_t> seeds;
  for (const Request& request : requests_of(asked, {}, "m")) seeds.insert(request.sampling.seed);
  EXPECT_GE(seeds.size(), 7U) << "two of 32 bits may be the same, once in a lifetime";
}

TEST(RequestsOf, AChatIsOneRequest) {
  Asked asked;
  asked.request.messages = {{"user", "a"}};
  const auto requests = requests_of(asked, {}, "m");
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].messages, (std::vector<Message>{{"user", "a"}}));
  EXPECT_TRUE(requests[0].default_template);
}

}  // namespace
}  // namespace choir::serve
