// Requests to embed in a node, in virtual time.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "tests/driven.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

using std::chrono::milliseconds;

EmbedRequest texts(std::vector<std::string> all) {
  return {.executor = "encoder", .texts = std::move(all)};
}

EmbedRequest tokens(std::vector<std::vector<TokenId>> all) {
  return {.executor = "encoder", .texts = {}, .tokens = std::move(all)};
}

bool ready(const std::future<EmbedCompletion>& result) {
  return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

class RuntimeEmbeddings : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(node_->add(executor("encoder"))); }
  EmbedSubmission submit(const EmbedRequest& request) {
    return node_->submit_embed(request).value();
  }
  void suspend() {
    ASSERT_TRUE(node_.waiting([&] { return node_->suspend("encoder"); }));
  }

  Driven node_;
};

TEST_F(RuntimeEmbeddings, SeveralTextsOfOneRequestComeBackInTheirOrderWithTheirTokens) {
  EmbedSubmission submission = submit(texts({"abc", "a", "abcde", "ab", "abcd"}));
  node_.finish();
  const EmbedCompletion done = submission.result.get();
  ASSERT_FALSE(done.error);
  EXPECT_EQ(done.id, submission.id);
  EXPECT_EQ(done.executor, "encoder");
  ASSERT_EQ(done.embeddings.size(), 5U);
  EXPECT_EQ(done.embeddings[2], (Embedding{.vector = {5}, .tokens = 5, .truncated = false}));
  EXPECT_EQ(done.embeddings[4].vector, std::vector<float>{4});
  EXPECT_EQ(done.usage.prompt_tokens, 15);
  EXPECT_GT(done.usage.total_seconds, 0);
  EXPECT_EQ(node_->executor("encoder")->steps, 2U) << "an executor of four sequences";
}

TEST_F(RuntimeEmbeddings, CallbacksAreToldOfTheEndBeforeTheFutureIs) {
  std::vector<std::string> told;
  EmbedSubmission submission;
  EmbedCallbacks callbacks;
  callbacks.on_done = [&](const EmbedCompletion& done) {
    told.push_back("done " + std::to_string(done.embeddings.size()) +
                   (ready(submission.result) ? " late" : ""));
    EXPECT_EQ(node_->info().requests_active, 1);
  };
  callbacks.on_settled = [&](const EmbedCompletion&) {
    told.push_back("settled");
    EXPECT_EQ(node_->info().requests_active, 0);
  };
  submission = node_->submit_embed(texts({"a", "b"}), std::move(callbacks)).value();
  node_.finish();
  EXPECT_EQ(told, (std::vector<std::string>{"done 2", "settled"}));
  EXPECT_TRUE(ready(submission.result));
}

TEST_F(RuntimeEmbeddings, WrongOnesAreRefusedAtOnce) {
  ASSERT_TRUE(node_->add(executor("a")));
  const auto code_of = [&](const EmbedRequest& request) {
    const auto refused = node_->submit_embed(request);
    EXPECT_FALSE(refused);
    return refused ? Code::kNotFound : refused.error().code;
  };
  EXPECT_EQ(code_of(texts({})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(texts({"a", ""})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(texts({"a", "\xFF"})), Code::kInvalidArgument);
  EXPECT_EQ(code_of(texts(std::vector<std::string>(kEmbedTextsMax + 1, "a"))),
            Code::kInvalidArgument);
  EmbedRequest of_a_decoder = texts({"a"});
  of_a_decoder.executor = "a";
  EXPECT_EQ(code_of(of_a_decoder), Code::kInvalidArgument);
  const auto too_long = node_->submit_embed(texts({"a", std::string(600, 'x')}));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, Code::kTooLong);
  EXPECT_EQ(too_long.error().fact("n_prompt_tokens"), 600);
  EXPECT_EQ(too_long.error().fact("n_ctx"), 512);
  EXPECT_NE(too_long.error().message.find("texts[1]"), std::string::npos);
  EXPECT_EQ(node_->info().requests_active, 0);
}

TEST_F(RuntimeEmbeddings, ATextThatIsTooLongIsCutWhereThatIsWanted) {
  EmbedRequest request = texts({"abc", std::string(600, 'x'), std::string(1'000'000, 'y')});
  request.truncate = true;
  EmbedSubmission submission = submit(request);
  node_.finish();
  const EmbedCompletion done = submission.result.get();
  ASSERT_FALSE(done.error);
  EXPECT_EQ(done.embeddings[0], (Embedding{.vector = {3}, .tokens = 3, .truncated = false}));
  EXPECT_EQ(done.embeddings[1], (Embedding{.vector = {512}, .tokens = 512, .truncated = true}));
  EXPECT_EQ(done.embeddings[2], done.embeddings[1]);
}

TEST_F(RuntimeEmbeddings, TokensAreComputedAsTheyAre) {
  EmbedSubmission submission = submit(tokens({{1, 2, 3}, {96}}));
  node_.finish();
  const EmbedCompletion done = submission.result.get();
  ASSERT_FALSE(done.error) << done.error->message;
  EXPECT_EQ(done.embeddings.at(0), (Embedding{.vector = {3}, .tokens = 3, .truncated = false}));
  EXPECT_EQ(done.embeddings.at(1).vector, std::vector<float>{1});
  EXPECT_EQ(done.usage.prompt_tokens, 4);
}

TEST_F(RuntimeEmbeddings, TokensThatAreWrongAreRefusedAtOnce) {
  const auto message_of = [&](const EmbedRequest& request) {
    const auto refused = node_->submit_embed(request);
    EXPECT_FALSE(refused);
    return refused ? "taken" : refused.error().message;
  };
  EmbedRequest both = tokens({{1}});
  both.texts = {"a"};
  EXPECT_EQ(message_of(both), "the texts to embed are given twice: set only one of texts, tokens");
  EXPECT_EQ(message_of(tokens({{1}, {}})), "tokens[1]: text to embed is empty: it has no tokens");
  EXPECT_EQ(message_of(tokens({{1, 97}})),
            "token 97 is not in the vocabulary of 'encoder', which has 0 to 96");
  EXPECT_EQ(message_of(tokens({{1}, {2, -1}})), "tokens[1][1] is -1, allowed 0 .. 2147483647");
  EXPECT_EQ(message_of(tokens(std::vector<std::vector<TokenId>>(kEmbedTextsMax + 1, {1}))),
            "tokens has 2049 entries, allowed at most 2048");
  EXPECT_EQ(message_of(tokens({std::vector<TokenId>(kPromptTokensMax), {1}})),
            "tokens has 16777217 tokens, allowed at most 16777216");
  const auto too_long = node_->submit_embed(tokens({std::vector<TokenId>(600, 1)}));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error(), node_->submit_embed(texts({std::string(600, 'x')})).error());
  EXPECT_EQ(node_->info().requests_active, 0);
}

TEST_F(RuntimeEmbeddings, TokensThatAreTooManyAreCutWhereThatIsWanted) {
  EmbedRequest request = tokens({std::vector<TokenId>(600, 1), {1}});
  request.truncate = true;
  EmbedSubmission submission = submit(request);
  node_.finish();
  const EmbedCompletion done = submission.result.get();
  ASSERT_FALSE(done.error) << done.error->message;
  EXPECT_EQ(done.embeddings[0], (Embedding{.vector = {512}, .tokens = 512, .truncated = true}));
  EXPECT_FALSE(done.embeddings[1].truncated);
}

TEST_F(RuntimeEmbeddings, OneOfASuspendedExecutorEndsByItsDeadlineWithoutAPass) {
  suspend();
  EmbedRequest request = texts({"a"});
  request.deadline = milliseconds(7);
  EmbedSubmission late = submit(request);
  const Instant end = node_.clock().now() + milliseconds(7);
  node_.finish();
  EXPECT_EQ(node_.clock().now(), end);
  EXPECT_EQ(late.result.get().error->code, Code::kDeadlineExceeded);
  EXPECT_EQ(node_->executor("encoder")->steps, 0U);
}

TEST_F(RuntimeEmbeddings, OneOfASuspendedExecutorIsCancelledByItsId) {
  suspend();
  EmbedSubmission gone = submit(texts({"a"}));
  EmbedSubmission stays = submit(texts({"ab"}));
  node_.finish();
  ASSERT_TRUE(node_->cancel(gone.id));
  node_.finish();
  EXPECT_EQ(gone.result.get().error->code, Code::kCancelled);
  EXPECT_FALSE(ready(stays.result));
  EXPECT_EQ(node_->cancel(gone.id).error().code, Code::kNotFound) << "it has ended";
  ASSERT_TRUE(node_->resume("encoder"));
  node_.finish();
  EXPECT_EQ(stays.result.get().embeddings.at(0).vector, std::vector<float>{2});
}

TEST_F(RuntimeEmbeddings, AreInSightAndCountAsActive) {
  suspend();
  EmbedRequest request = texts({"abc", "de"});
  request.tenant = "school";
  request.priority = Priority::kHigh;
  EmbedSubmission submission = submit(request);
  const auto seen = node_->requests();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].id, submission.id);
  EXPECT_EQ(seen[0].tenant, "school");
  EXPECT_EQ(seen[0].priority, Priority::kHigh);
  EXPECT_EQ(seen[0].phase, RequestPhase::kSuspended);
  EXPECT_EQ(seen[0].prompt_tokens, 5);
  EXPECT_EQ(node_->info().requests_active, 1);
  EXPECT_EQ(node_->executor("encoder")->active, 1);
  const Status idle = node_.waiting([&] { return node_->wait_idle(milliseconds(1)); });
  EXPECT_EQ(idle.error().facts,
            (std::vector<Fact>{
                {"active_requests", 0}, {"active_embeddings", 1}, {"suspended_requests", 1}}));
  ASSERT_TRUE(node_->resume("encoder"));
  EXPECT_TRUE(node_.waiting([&] { return node_->wait_idle(milliseconds(100)); }));
}

TEST_F(RuntimeEmbeddings, ThatWaitForTheirGateBeginInOnePass) {
  std::vector<EmbedSubmission> gated;
  std::vector<RequestId> ids;
  for (const char* text : {"a", "bb", "ccc"}) {
    gated.push_back(node_->submit_embed(texts({text}), {}, Gated::kYes).value());
    ids.push_back(gated.back().id);
    node_.finish();
  }
  EXPECT_EQ(node_->executor("encoder")->steps, 0U);
  EXPECT_EQ(node_->requests().front().waits_for, WaitsFor::kCompany);
  EmbedSubmission plain = submit(texts({"dddd"}));
  node_.finish();
  EXPECT_TRUE(ready(plain.result)) << "they hold nobody back";
  node_->open_gate(ids);
  node_.finish();
  for (EmbedSubmission& one : gated) EXPECT_FALSE(one.result.get().error);
  EXPECT_EQ(node_->executor("encoder")->steps, 2U);
}

TEST_F(RuntimeEmbeddings, MoveWithTheirExecutorToAnotherNode) {
  Driven other;
  suspend();
  EmbedSubmission submission = submit(texts({"abc"}));
  ASSERT_TRUE(node_.waiting([&] { return node_->migrate("encoder", *other); }));
  EXPECT_EQ(node_->info().requests_active, 0);
  EXPECT_EQ(other->info().requests_active, 1);
  ASSERT_TRUE(other->resume("encoder"));
  other.finish();
  EXPECT_EQ(submission.result.get().embeddings.at(0).vector, std::vector<float>{3});
}

TEST(RuntimeEmbeddingsInTurn, OneRequestRunsAtATimeUnderThatPolicy) {
  NodeConfig config;
  config.policy = ExecutionPolicy::kSequential;
  Driven node(config);
  ASSERT_TRUE(node->add(executor("encoder")));
  ASSERT_TRUE(node->add(executor("a")));
  auto first = node->submit(request("a", "hello", 8), {}).value();
  auto second = node->submit_embed(texts({"abc"})).value();
  while (!ready(second.result) && node.step()) {}
  EXPECT_EQ(first.result.wait_for(std::chrono::seconds(0)), std::future_status::ready)
      << "it came first";
  EXPECT_FALSE(second.result.get().error);
}

TEST(RuntimeEmbeddingsInTurn, OnesThatWaitForItAreCancelledByTheRemovalOfTheirExecutor) {
  NodeConfig config;
  config.policy = ExecutionPolicy::kSequential;
  Driven node(config);
  ASSERT_TRUE(node->add(executor("encoder")));
  ASSERT_TRUE(node->add(executor("a")));
  auto runs = node->submit(request("a", "hello", 400), {}).value();
  auto waits = node->submit_embed(texts({"abc"})).value();
  for (int i = 0; i < 10; ++i) node.step();
  EXPECT_FALSE(ready(waits.result));
  ASSERT_TRUE(node.waiting([&] { return node->remove("encoder", Drain::kCancel); }));
  EXPECT_EQ(waits.result.get().error->code, Code::kCancelled);
  EXPECT_EQ(node->requests().size(), 1U) << "the other one runs";
  node.finish();
  EXPECT_EQ(runs.result.get().finish, Finish::kLength);
}

}  // namespace
}  // namespace choir
