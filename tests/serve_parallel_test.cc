// Which jobs the body of POST /choir/v1/parallel asks for.
#include "serve/parallel_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "choir/parallel_evaluation.h"
#include "serve/model_defaults.h"
#include "serve/request_of.h"

namespace choir::serve {
namespace {

using testing::HasSubstr;

ParallelAsked read(const char* body) {
  auto asked = read_parallel(Json::parse(body));
  EXPECT_TRUE(asked) << asked.error().message;
  return asked ? *std::move(asked) : ParallelAsked{};
}

TEST(ParallelJobs, EachModelAnswersEachPromptAndNeighboursHaveDifferentModels) {
  const ParallelAsked asked = read(R"({"models": ["a", "b"], "prompts": ["x", "y"]})");
  std::vector<std::string> jobs;
  for (const ParallelJob& job : asked.jobs) jobs.push_back(job.asked.model + job.prompt);
  EXPECT_THAT(jobs, testing::ElementsAre("ax", "bx", "ay", "by"));
  EXPECT_FALSE(asked.stream);
}

TEST(ParallelJobs, HaveTheDefaultsOfTheCommandLine) {
  const ParallelConfig usual;
  Asked asked = read(R"({"jobs": [{"prompt": "x"}, {"prompt": "y"}]})").jobs[1].asked;
  const Request request = request_of(asked, {}, "a");
  EXPECT_EQ(request.max_tokens, usual.max_tokens);
  EXPECT_EQ(request.sampling.temperature, usual.temperature);
  EXPECT_EQ(request.sampling.seed, 1000U);
  EXPECT_EQ(request.messages, (std::vector<Message>{{"user", "y"}}));
  EXPECT_TRUE(request.default_template);
}

TEST(ParallelJobs, HaveTheModelsDefaultsBeforeThose) {
  RequestDefaults model;
  model.sampling = {{"temperature", 0.25}, {"seed", 9}};
  model.system = "s";
  model.max_tokens = 7;
  ParallelAsked all = read(R"({"jobs": [{"prompt": "x"}, {"prompt": "y", "max_tokens": 3,
      "temperature": 1, "seed": 4, "system": "own"}]})");
  std::vector<Request> requests;
  for (ParallelJob& job : all.jobs) {
    fill_in(model, {}, job.asked);
    requests.push_back(request_of(job.asked, {}, "a"));
  }
  EXPECT_EQ(requests[0].max_tokens, 7);
  EXPECT_EQ(requests[0].sampling.temperature, 0.25F);
  EXPECT_EQ(requests[0].sampling.seed, 9U);
  EXPECT_EQ(requests[0].messages, (std::vector<Message>{{"system", "s"}, {"user", "x"}}));
  EXPECT_EQ(requests[1].max_tokens, 3);
  EXPECT_EQ(requests[1].sampling.temperature, 1.0F);
  EXPECT_EQ(requests[1].sampling.seed, 4U);
  EXPECT_EQ(requests[1].messages, (std::vector<Message>{{"system", "own"}, {"user", "y"}}));
}

TEST(ParallelJobs, TakeWhatIsForAllAndTheirOwnFieldsWin) {
  const ParallelAsked asked =
      read(R"({"stream": true, "text_every_ms": 250, "max_tokens": 5, "seed": 7, "system": "s",
      "jobs": [{"prompt": "x"}, {"prompt": "y", "max_tokens": 6, "system": null}]})");
  EXPECT_TRUE(asked.stream);
  EXPECT_EQ(asked.text_every, std::chrono::milliseconds(250));
  EXPECT_EQ(asked.jobs[0].asked.request.max_tokens, 5);
  EXPECT_EQ(asked.jobs[0].asked.request.messages,
            (std::vector<Message>{{"system", "s"}, {"user", "x"}}));
  EXPECT_EQ(asked.jobs[1].asked.request.max_tokens, 6);
  EXPECT_EQ(asked.jobs[1].asked.request.sampling.seed, 7U);
  EXPECT_EQ(asked.jobs[1].asked.request.messages, (std::vector<Message>{{"user", "y"}}));
}

TEST(ParallelJobs, TakePromptsAsTheyStand) {
  const ParallelAsked asked =
      read(R"({"raw": true, "prompts": ["x"], "deadline_ms": 90, "default_template": false})");
  const Request& request = asked.jobs[0].asked.request;
  EXPECT_EQ(request.text, "x");
  EXPECT_TRUE(request.messages.empty());
  EXPECT_EQ(request.deadline, std::chrono::milliseconds(90));
  EXPECT_FALSE(request.default_template);
  EXPECT_EQ(asked.jobs[0].prompt, "x");
}

TEST(ParallelJobs, TakeConversations) {
  const ParallelAsked asked = read(
      R"({"models": ["a", "b"], "messages": [{"role": "user", "content": "hello"}], "seed": -1})");
  EXPECT_EQ(asked.jobs.size(), 2U);
  EXPECT_EQ(asked.jobs[1].prompt, "hello");
  EXPECT_FALSE(asked.jobs[1].asked.seed_given);
}

TEST(ParallelJobs, GoTogetherUnlessTheyAreToGoOneAtATime) {
  using Order = ParallelEvaluation::Order;
  EXPECT_EQ(read(R"({"prompts": ["x"]})").order, Order::kTogether);
  EXPECT_EQ(read(R"({"prompts": ["x"], "order": "together"})").order, Order::kTogether);
  EXPECT_EQ(read(R"({"prompts": ["x"], "order": "one_at_a_time"})").order, Order::kOneAtATime);
}

TEST(ParallelJobs, AreComparedWithTheFiguresOfAReport) {
  EXPECT_FALSE(read(R"({"prompts": ["x"]})").against);
  const auto against = read(R"({"prompts": ["x"], "against":
      {"total_tokens": 20, "total_seconds": 2.5, "throughput": 99, "sessions": []}})")
                           .against;
  ASSERT_TRUE(against);
  EXPECT_EQ(against->total_tokens, 20);
  EXPECT_EQ(against->total_seconds, 2.5);
  EXPECT_EQ(against->throughput, 8);
}

struct Wrong {
  std::string name;
  std::string body;
  std::string says;
  std::string pointer = {};
};
class WrongParallelJobs : public testing::TestWithParam<Wrong> {};

TEST_P(WrongParallelJobs, AreRefused) {
  const auto asked = read_parallel(Json::parse(GetParam().body));
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().status, 400);
  EXPECT_THAT(asked.error().message, HasSubstr(GetParam().says));
  if (!GetParam().pointer.empty()) {
    EXPECT_EQ(asked.error().pointer, GetParam().pointer);
  }
}

std::string many(int count) {
  std::string jobs;
  for (int i = 0; i < count; ++i) jobs += std::string(i > 0 ? "," : "") + R"({"prompt": "x"})";
  return R"({"jobs": [)" + jobs + "]}";
}

const Wrong kWrong[] = {
    {"NoObject", "[]", "no JSON object"},
    {"Nothing", "{}", "'jobs' is missing"},
    {"TextsTooSeldom", R"({"prompts": ["x"], "text_every_ms": 10001})",
     "'text_every_ms' is 10001; it takes a whole number from 0 to 10000"},
    {"TextsOfOneJob", R"({"jobs": [{"prompt": "x", "text_every_ms": 5}]})", "is for all jobs",
     "/jobs/0/text_every_ms"},
    {"NoOrder", R"({"prompts": ["x"], "order": "backwards"})",
     "it takes 'together' or 'one_at_a_time'", "/order"},
    {"OrderOfOneJob", R"({"jobs": [{"prompt": "x", "order": "together"}]})", "is for all jobs",
     "/jobs/0/order"},
    {"AgainstANumber", R"({"prompts": ["x"], "against": 5})", "takes an object with 'total_tokens'",
     "/against"},
    {"AgainstHalfAReport", R"({"prompts": ["x"], "against": {"total_tokens": 5}})",
     "'total_seconds', a number from 0", "/against"},
    {"AgainstPartOfAToken",
     R"({"prompts": ["x"], "against": {"total_tokens": 0.5, "total_seconds": 1}})",
     "a whole number from 0 to 2147483647", "/against"},
    {"AgainstBeforeTheBegin",
     R"({"prompts": ["x"], "against": {"total_tokens": 5, "total_seconds": -1}})",
     "a number from 0", "/against"},
    {"BothForms", R"({"jobs": [{"prompt": "x"}], "prompts": ["y"]})", "excludes"},
    {"NoJob", R"({"jobs": []})", "list of objects"},
    {"AJobOfText", R"({"jobs": [{"prompt": "x"}, "x"]})", "list of objects", "/jobs/1"},
    {"PromptsOfNumbers", R"({"prompts": [1]})", "list of texts", "/prompts/0"},
    {"NoPrompt", R"({"models": ["a"]})", "'prompt' is missing", "/prompt"},
    {"EmptyPrompt", R"({"jobs": [{"prompt": ""}]})", "empty", "/jobs/0/prompt"},
    {"PromptAndMessages", R"({"prompts": ["x"], "messages": [{"role": "user", "content": "y"}]})",
     "excludes"},
    {"RawConversation",
     R"({"raw": true, "jobs": [{"messages": [{"role": "user", "content": "y"}]}]})",
     "needs a 'prompt'"},
    {"RawWithSystem", R"({"raw": true, "system": "s", "prompts": ["x"]})", "leave out 'raw'"},
    {"UnknownField", R"({"jobs": [{"prompt": "x"}, {"prompt": "x", "max_token": 5}]})",
     "did you mean 'max_tokens'?", "/jobs/1/max_token"},
    {"WrongValue", R"({"jobs": [{"prompt": "x", "temperature": "hot"}]})", "jobs.0: 'temperature'",
     "/jobs/0/temperature"},
    {"StreamInAJob", R"({"jobs": [{"prompt": "x", "stream": true}]})", "beside"},
    {"Deadline", R"({"prompts": ["x"], "deadline_ms": 0})", "from 1"},
    {"Choices", R"({"prompts": ["x"], "n": 2})", "'n'"},
    {"TooMany", many(257), "are 257, at most 256"},
    {"TooManyTogether",
     R"({"models": ["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"],
         "prompts": ["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p"]})",
     "are 272, at most 256"},
};
INSTANTIATE_TEST_SUITE_P(, WrongParallelJobs, testing::ValuesIn(kWrong),
                         [](const auto& c) { return c.param.name; });

TEST(ParallelJobs, AreNotMoreThanMemoryIsFor) {
  Json body = {{"prompts", Json::array()}, {"system", std::string(1U << 20U, 's')}};
  for (int i = 0; i < 200; ++i) body["prompts"].push_back("x");
  const auto asked = read_parallel(body);
  ASSERT_FALSE(asked);
  EXPECT_THAT(asked.error().message, HasSubstr("together more than"));
}

}  // namespace
}  // namespace choir::serve
