#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "choir/parallel_evaluation.h"
#include "tests/golden.h"

namespace choir {
namespace {

using testing::HasSubstr;

ParallelConfig config_of(std::vector<std::string> models) {
  ParallelConfig config;
  for (const std::string& name : models) {
    ParallelModel model;
    model.path = "/models/" + name + ".gguf";
    model.name = name;
    config.models.push_back(model);
  }
  config.node.cores = 2;
  return config;
}

EvaluationResult session(std::int32_t id, std::string prompt, std::string text, std::int32_t tokens,
                         double seconds) {
  EvaluationResult result;
  result.session_id = id;
  result.model = "smollm2-135m";
  result.prompt = std::move(prompt);
  result.text = std::move(text);
  result.tokens = tokens;
  result.seconds = seconds;
  result.tokens_per_second = seconds > 0 ? tokens / seconds : 0;
  result.finish = Finish::kStop;
  return result;
}

EvaluationReport report_of(std::vector<EvaluationResult> results, double total_seconds) {
  return choir::report_of(std::move(results), 0.31, total_seconds);
}

EvaluationReport three_sessions() {
  return report_of(
      {session(
           0, "Write a short poem about machine learning.",
           "In circuits deep, where data flows like streams, a mind of numbers learns to dream.",
           98, 2.17),
       session(
           1,
           "Explain the concept of neural networks simply, as to a child of ten who likes trains.",
           "Think of a railway:\nmany small stations,\teach one a switch.", 87, 2.06),
       session(2, "What are the key differences between AI and machine learning?",
               "AI is the whole; learning is a part.", 95, 1.94)},
      2.45);
}

TEST(ParallelReport, ShowsSessionsAsTheExampleDoes) {
  expect_golden("parallel_report.txt", render(three_sessions(), config_of({"smollm2-135m"})));
}

TEST(ParallelReport, NamesTheModelWhereThereAreSeveral) {
  EvaluationReport report = three_sessions();
  report.results.back().model = "gemma3-270m";
  expect_golden("parallel_report_models.txt",
                render(report, config_of({"smollm2-135m", "gemma3-270m"})));
}

TEST(ParallelReport, SaysWhichSessionsFailed) {
  EvaluationResult failed = session(1, "Anything", "", 0, 0);
  failed.finish = Finish::kFailed;
  failed.error = Error{Code::kEngineFailed, "llama.cpp refused a batch\nof 3 tokens"};
  EvaluationResult cancelled = session(2, "Anything else", "It began well", 3, 0.5);
  cancelled.finish = Finish::kCancelled;
  cancelled.error = Error{Code::kCancelled, "cancelled after 3 tokens"};
  expect_golden(
      "parallel_report_failures.txt",
      render(report_of({session(0, "A prompt", "An answer", 10, 1), failed, cancelled}, 1.5),
             config_of({"smollm2-135m"})));
}

TEST(ParallelReport, TextOfUnknownOriginStaysOneHarmlessLine) {
  expect_golden(
      "parallel_report_hostile.txt",
      render(
          report_of(
              {session(0, "\x1b]0;owned\x07 \xff\xfe bytes",
                       "\n\n  \xe2\x80\xae"
                       "desrever 🎯\r\n\n",
                       4, 1),
               session(1, std::string(200, 'x'),
                       "ääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääää", 5, 1),
               session(2, "No visible text", " \n\t ", 3, 1)},
              1),
          config_of({"smollm2-135m"})));
}

TEST(ParallelReport, NothingGeneratedIsStillAReport) {
  expect_golden("parallel_report_empty.txt", render(report_of({}, 0), config_of({"smollm2-135m"})));
}

TEST(ParallelReport, SaysAllCoresWhereTheConfigDoes) {
  ParallelConfig config = config_of({"a"});
  config.node.cores = 0;
  EXPECT_THAT(render(three_sessions(), config), HasSubstr("One CPU budget over all allowed cores"));
  config.node.cores = 1;
  EXPECT_THAT(render(three_sessions(), config), HasSubstr("One CPU budget over 1 core\n"));
}

TEST(ParallelComparison, ShowsBothReportsAndTheSpeedup) {
  expect_golden("parallel_comparison.txt",
                render(compare(three_sessions(), choir::report_of(96, 12.5))));
}

TEST(ParallelComparison, IsOfThroughputsAndNotOfTimes) {
  const Comparison comparison = compare(choir::report_of(200, 2), choir::report_of(100, 4));
  EXPECT_EQ(comparison.together.throughput, 100);
  EXPECT_EQ(comparison.one_at_a_time.throughput, 25);
  EXPECT_EQ(comparison.speedup, 4);
}

TEST(ParallelComparison, HasNoSpeedupOverNothing) {
  EXPECT_EQ(compare(choir::report_of(200, 2), choir::report_of(0, 4)).speedup, 0);
  EXPECT_EQ(compare(choir::report_of(200, 2), choir::report_of(100, 0)).speedup, 0);
}

TEST(ParallelComparison, AsJsonIsTheFirstReportWithTheSecondInIt) {
  const std::string first = json_text(choir::report_of(200, 2));
  EXPECT_EQ(json_text(compare(choir::report_of(200, 2), choir::report_of(100, 4))),
            first.substr(0, first.size() - 1) + R"(,"one_at_a_time":)" +
                json_text(choir::report_of(100, 4)) + R"(,"speedup":4.0})");
}

struct Case {
  std::string name;
  std::function<void(ParallelConfig&)> change;
  std::string want;  // part of the message; empty: valid
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class ParallelConfigCheck : public testing::TestWithParam<Case> {};

TEST_P(ParallelConfigCheck, Says) {
  ParallelConfig config = config_of({"a", "b"});
  GetParam().change(config);
  const Status status = validate(config);
  if (GetParam().want.empty()) {
    EXPECT_TRUE(status) << status.error().message;
    return;
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kInvalidArgument);
  EXPECT_THAT(status.error().message, HasSubstr(GetParam().want));
}

const Case kCases[] = {
    {"DefaultsAreRight", [](ParallelConfig&) {}, ""},
    {"SameModelTwiceIsRight", [](ParallelConfig& c) { c.models[1] = c.models[0]; }, ""},
    {"NoModel", [](ParallelConfig& c) { c.models.clear(); }, "no model"},
    {"ModelWithoutPath", [](ParallelConfig& c) { c.models[1].path.clear(); },
     "models[1] has no path"},
    {"SharesZero", [](ParallelConfig& c) { c.models[0].shares = 0; }, "models[0] has 0.00 shares"},
    {"SharesNotANumber",
     [](ParallelConfig& c) { c.models[0].shares = std::numeric_limits<double>::quiet_NaN(); },
     "models[0]"},
    {"NoSession", [](ParallelConfig& c) { c.sessions = 0; }, "sessions is 0, it takes 1 to 256"},
    {"NegativeSessions", [](ParallelConfig& c) { c.sessions = -3; }, "sessions is -3"},
    {"MostSessions", [](ParallelConfig& c) { c.sessions = 256; }, ""},
    {"TooManySessions", [](ParallelConfig& c) { c.sessions = 257; }, "sessions is 257"},
    {"NoTokens", [](ParallelConfig& c) { c.max_tokens = 0; }, "max_tokens is 0"},
    {"TooHot", [](ParallelConfig& c) { c.temperature = 11; }, "temperature is 11"},
    {"TemperatureNotANumber",
     [](ParallelConfig& c) { c.temperature = std::numeric_limits<float>::quiet_NaN(); },
     "temperature is nan"},
    {"EmptyPrompt",
     [](ParallelConfig& c) {
       c.prompts = {"a", ""};
     },
     "prompts[1] is empty"},
    {"PromptNotUtf8", [](ParallelConfig& c) { c.prompts = {"a\xff"}; },
     "prompts[0]: text is not UTF-8"},
    {"SystemNotUtf8", [](ParallelConfig& c) { c.system = "\xff"; }, "system: text is not UTF-8"},
    {"NegativeCores", [](ParallelConfig& c) { c.node.cores = -1; }, "cores"},
};
INSTANTIATE_TEST_SUITE_P(, ParallelConfigCheck, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir
