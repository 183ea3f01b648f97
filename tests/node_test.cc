// The public API on real models: the tiny one of this repository, and the real ones where fetched.
#include "choir/node.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "choir/parallel_evaluation.h"
#include "partly.h"
#include "real_models.h"
#include "runtime/runtime.h"

namespace choir {
namespace {

std::unique_ptr<Node> node_with(const std::string& path, const std::string& name = "m",
                                std::int32_t context_tokens = 2048) {
  auto node = Node::create({});
  EXPECT_TRUE(node) << node.error().message;
  ExecutorConfig config;
  config.name = name;
  config.path = path;
  config.context_tokens = context_tokens;
  const Status added = (*node)->add(config);
  EXPECT_TRUE(added) << added.error().message;
  return std::move(*node);
}

Request greedy(const std::string& text, std::int32_t max_tokens) {
  Request r;
  r.text = text;
  r.max_tokens = max_tokens;
  r.sampling.temperature = 0;
  return r;
}

TEST(Node, GeneratesTextThatContinuesThePrompt) {
  const auto node = node_with(stories());
  const Completion c = node->run(greedy("Once upon a time", 20)).value();
  EXPECT_TRUE(c.text.starts_with(", there was a little girl named")) << c.text;
  EXPECT_EQ(c.finish, Finish::kLength);
  EXPECT_EQ(c.tokens.size(), 20U);
  EXPECT_EQ(c.usage.output_tokens, 20);
  EXPECT_GT(c.usage.first_token_seconds, 0);
  EXPECT_EQ(node->detokenize("m", c.tokens).value(), c.text);
}

TEST(Node, AStopStringEndsTheTextAndIsNotPartOfIt) {
  const auto node = node_with(stories());
  Request r = greedy("Once upon a time", 60);
  r.stop = {"girl"};
  const Completion c = node->run(r).value();
  EXPECT_EQ(c.finish, Finish::kStop);
  EXPECT_EQ(c.text, ", there was a little ");
}

TEST(Node, AChatModelAnswersInItsTemplate) {
  if (smollm2().empty()) GTEST_SKIP() << "SmolLM2 is not in the models folder";
  const auto node = node_with(smollm2());
  Request r;
  r.messages = {{"user", "What is the capital of France? Answer in one sentence."}};
  r.max_tokens = 40;
  r.sampling.temperature = 0;
  const Completion c = node->run(r).value();
  EXPECT_EQ(c.finish, Finish::kStop);
  EXPECT_NE(c.text.find("Paris"), std::string::npos) << c.text;
  EXPECT_EQ(c.text.find("<|im_end|>"), std::string::npos);
}

TEST(Node, TwoModelsGenerateSideBySide) {
  if (gemma().empty()) partly("stories260K instead of a second real model: choir pull gemma3-270m");
  const std::string second = gemma().empty() ? stories() : gemma();
  const auto node = node_with(stories(), "tiny");
  ExecutorConfig config;
  config.name = "other";
  config.path = second;
  ASSERT_TRUE(node->add(config));
  std::vector<std::future<Completion>> futures;
  for (int i = 0; i < 4; ++i)
    for (const char* name : {"tiny", "other"}) {
      Request r = greedy("The cat", 16);
      r.executor = name;
      r.ignore_eos = true;
      futures.push_back(std::move(node->submit(r).value().result));
    }
  for (auto& future : futures) EXPECT_EQ(future.get().tokens.size(), 16U);
  for (const ExecutorInfo& info : node->executors()) {
    EXPECT_EQ(info.requests_done, 4U);
    EXPECT_EQ(info.output_tokens, 64U);
    EXPECT_GT(info.compute_seconds, 0);
  }
}

// Together (they wait for who computes the front) and one after the other (it is still there).
TEST(Node, SharedFrontsChangeNoToken) {
  for (const std::string& path : all_models()) {
    auto node = Node::create({}).value();
    for (const bool shares : {false, true}) {
      ExecutorConfig config;
      config.name = shares ? "shares" : "alone";
      config.path = path;
      config.prefix_cache = shares;
      ASSERT_TRUE(node->add(config));
    }
    std::vector<Request> requests;
    for (const char* end : {"a dog", "the sea", "a very old tree", "two friends", "a cat"}) {
      requests.push_back(greedy(
          "A story for children, in short words and with a good end, that can be told before "
          "they sleep. It is about " +
              std::string(end),
          24));
      requests.back().ignore_eos = true;
      requests.back().sampling.temperature = 0.8F;
    }
    std::vector<std::vector<TokenId>> want;
    for (Request& r : requests) {
      r.executor = "alone";
      want.push_back(node->run(r).value().tokens);
      r.executor = "shares";
    }
    EXPECT_EQ(node->executor("alone")->reused_tokens, 0U);
    const bool exact = node->executor("shares")->model.not_covered.empty();
    std::vector<Submission> submissions;
    for (const Request& r : requests) submissions.push_back(node->submit(r).value());
    std::vector<std::vector<TokenId>> got;
    for (Submission& submission : submissions) got.push_back(submission.result.get().tokens);
    for (const Request& r : requests) got.push_back(node->run(r).value().tokens);
    for (std::size_t i = 0; exact && i < got.size(); ++i)
      EXPECT_EQ(got[i], want[i % want.size()]) << path << ", " << i;
    EXPECT_GE(node->executor("shares")->reused_tokens, 9 * 20U) << path;
    EXPECT_GT(node->executor("shares")->cached_cells, 0);
  }
}

TEST(Node, LanesNeverUseMoreCoresThanAllowed) {
  const auto node = node_with(stories(), "a");
  NodeInfo info = node->info();
  std::int32_t used = 0;
  for (const std::int32_t threads : info.lanes) used += threads;
  EXPECT_EQ(used, info.cores);
  EXPECT_LE(static_cast<unsigned>(info.cores), std::thread::hardware_concurrency());
}

TEST(Node, CancelStopsALongPromptInTheMiddle) {
  if (smollm2().empty()) GTEST_SKIP() << "SmolLM2 is not in the models folder";
  const auto node = node_with(smollm2(), "m", 4200);
  Request r;
  r.tokens.assign(4000, 100);
  auto submission = node->submit(r).value();
  while (node->executor("m")->running == 0 && node->executor("m")->steps == 0)
    std::this_thread::yield();
  ASSERT_TRUE(node->cancel(submission.id));
  const Completion c = submission.result.get();
  EXPECT_EQ(c.finish, Finish::kCancelled);
  EXPECT_LT(node->executor("m")->prompt_tokens, 4000U) << "the prompt was not computed to its end";
}

TEST(Node, ADeadlineStopsALongPromptInTheMiddle) {
  if (smollm2().empty()) GTEST_SKIP() << "SmolLM2 is not in the models folder";
  const auto node = node_with(smollm2(), "m", 4200);
  Request r;
  r.tokens.assign(4000, 100);
  r.deadline = std::chrono::milliseconds(300);
  const Completion c = node->run(r).value();
  EXPECT_EQ(c.finish, Finish::kDeadline);
  EXPECT_TRUE(c.error->message.starts_with("deadline exceeded: the request had 300 ms"))
      << c.error->message;
}

TEST(Node, ASecondExecutorOfAFileSharesItsWeights) {
  const auto node = node_with(stories(), "a");
  const std::uint64_t before = node->info().memory_bytes_promised;
  ExecutorConfig config;
  config.name = "b";
  config.path = stories();
  config.context_tokens = 2048;
  ASSERT_TRUE(node->add(config));
  const ExecutorInfo info = node->executor("b").value();
  const std::uint64_t grown = node->info().memory_bytes_promised - before;
  EXPECT_EQ(grown, info.memory.kv + info.memory.compute);
}

TEST(Node, AnUnknownExecutorNamesTheNearest) {
  const auto node = node_with(stories(), "stories");
  Request r = greedy("x", 1);
  r.executor = "storys";
  EXPECT_EQ(node->submit(r).error().message,
            "no executor is named 'storys'; the nearest is 'stories'");
}

TEST(Node, AMissingFileIsRefused) {
  auto node = Node::create({}).value();
  ExecutorConfig config;
  config.name = "m";
  config.path = "nowhere.gguf";
  const Status added = node->add(config);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().message, "executor 'm': 'nowhere.gguf' does not exist or cannot be read");
}

TEST(Node, DestructionCancelsWhatRuns) {
  std::future<Completion> result;
  {
    const auto node = node_with(stories());
    Request r = greedy("Once", 400);
    r.ignore_eos = true;
    result = std::move(node->submit(r).value().result);
  }
  const Completion c = result.get();
  EXPECT_TRUE(c.finish == Finish::kCancelled || c.finish == Finish::kLength);
}

TEST(ParallelEvaluation, SessionsHaveTheirOwnSeedAndKv) {
  ParallelConfig config;
  config.models = {{.path = stories(), .name = "", .priority = Priority::kNormal, .shares = 1},
                   {.path = stories(), .name = "", .priority = Priority::kNormal, .shares = 1}};
  config.sessions = 3;
  config.prompts = {"Once upon a time"};
  config.max_tokens = 24;
  config.raw = true;
  config.ignore_eos = true;
  const auto evaluation = ParallelEvaluation::create(config).value();
  std::atomic<int> ended{0};
  const auto count = [&](const SessionProgress& p) {
    ended += p.phase == SessionProgress::Phase::kEnded ? 1 : 0;
  };
  const EvaluationReport together =
      evaluation->run(ParallelEvaluation::Order::kTogether, count).value();
  EXPECT_EQ(ended.load(), 6);
  EXPECT_EQ(together.total_tokens, 6 * 24);
  ASSERT_EQ(together.results.size(), 6U);
  EXPECT_NE(together.results[0].text, together.results[2].text) << "same prompt, other seeds";
  // Session 1 is session 0's neighbour on the second executor of the same file.
  const EvaluationReport apart =
      evaluation->run(ParallelEvaluation::Order::kOneAtATime, {}).value();
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(apart.results[i].tokens, 24);
}

TEST(ParallelEvaluation, CancelEndsEverySession) {
  ParallelConfig config;
  config.models = {{.path = stories(), .name = "", .priority = Priority::kNormal, .shares = 1}};
  config.sessions = 4;
  config.max_tokens = 400;
  config.raw = true;
  config.ignore_eos = true;
  const auto evaluation = ParallelEvaluation::create(config).value();
  std::atomic<bool> once{false};
  const auto report =
      evaluation
          ->run(ParallelEvaluation::Order::kTogether,
                [&](const SessionProgress& p) {
                  if (p.phase == SessionProgress::Phase::kToken && !once.exchange(true))
                    evaluation->cancel();
                })
          .value();
  for (const EvaluationResult& row : report.results)
    EXPECT_TRUE(row.finish == Finish::kCancelled || row.finish == Finish::kLength);
}

TEST(ParallelEvaluation, IsRefusedInsideACallback) {
  ParallelConfig config;
  config.models = {{.path = stories(), .name = "", .priority = Priority::kNormal, .shares = 1}};
  config.sessions = 1;
  config.max_tokens = 4;
  config.raw = true;
  const auto evaluation = ParallelEvaluation::create(config).value();
  std::optional<Error> refused;
  ASSERT_TRUE(evaluation->run(ParallelEvaluation::Order::kTogether, [&](const SessionProgress& p) {
    if (p.phase == SessionProgress::Phase::kEnded)
      refused = evaluation->run(ParallelEvaluation::Order::kTogether, {}).error();
  }));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, Code::kInvalidArgument);
}

// A request that is just ending holds the model open: its weights are still promised once, and go.
TEST(Node, PromisesStayRightWhileSomebodyHoldsTheModel) {
  const auto runtime = *create_runtime({});
  const ExecutorConfig a{.name = "a", .path = stories()};
  ASSERT_TRUE(runtime->add(a));
  const auto promised = runtime->info().memory_bytes_promised;
  const auto held = (*runtime->find("a"))->shared_model();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(runtime->remove("a", Drain::kCancel));
    EXPECT_EQ(runtime->info().memory_bytes_promised, 0U);
    ASSERT_TRUE(runtime->add(a));
    EXPECT_EQ(runtime->info().memory_bytes_promised, promised);
  }
}

}  // namespace
}  // namespace choir
