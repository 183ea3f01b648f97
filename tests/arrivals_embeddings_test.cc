// Requests to embed that are accepted before their executor is in memory, in virtual time.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/arrivals_stage.h"

namespace choir {
namespace {

using std::chrono::milliseconds;

EmbedRequest texts(std::vector<std::string> all) {
  return {.executor = "encoder", .texts = std::move(all)};
}

class EmbeddingArrivals : public ArrivalsTest {
 protected:
  EmbedSubmission enqueue(const EmbedRequest& request) {
    return node->enqueue_embed(request, {}).value();
  }
  static bool ready(const EmbedSubmission& s) {
    return s.result.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  void finish() {
    work();
    node.finish();
  }
};

TEST_F(EmbeddingArrivals, TwoHundredShareOneLoad) {
  ASSERT_TRUE(node->declare(executor("encoder")));
  std::vector<EmbedSubmission> all;
  for (int i = 0; i < 200; ++i) {
    EmbedRequest request = texts({"abc", std::string(static_cast<std::size_t>(1 + i % 7), 'x')});
    if (i % 50 == 0) request.priority = Priority::kCritical;
    all.push_back(enqueue(request));
  }
  EXPECT_EQ(loads->good, 0) << "nothing is loaded on the caller's thread";
  EXPECT_EQ(node->executor("encoder")->active, 200);
  const auto seen = node->requests();
  ASSERT_EQ(seen.size(), 200U);
  EXPECT_EQ(seen[1].waits_for, WaitsFor::kLoad);
  EXPECT_EQ(seen[1].prompt_tokens, 0) << "not known yet";
  work();
  EXPECT_EQ(loads->good, 1);
  EXPECT_EQ(node->requests()[1].prompt_tokens, 5);
  node.finish();
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_TRUE(ready(all[i])) << i;
    const EmbedCompletion done = all[i].result.get();
    ASSERT_FALSE(done.error) << done.error->message;
    EXPECT_EQ(done.id, all[i].id);
    EXPECT_EQ(done.embeddings.at(0).vector, std::vector<float>{3});
    EXPECT_EQ(done.embeddings.at(1).vector, std::vector<float>{static_cast<float>(1 + i % 7)});
    EXPECT_EQ(done.usage.prompt_tokens, static_cast<std::int32_t>(4 + i % 7));
  }
  EXPECT_EQ(node->executor("encoder")->active, 0);
  EXPECT_EQ(node->executor("encoder")->requests_done, 200U);
}

TEST_F(EmbeddingArrivals, AtAnExecutorInMemoryTheyAreItsMailOrRefusedAtOnce) {
  ASSERT_TRUE(node->add(executor("encoder")));
  ASSERT_TRUE(node->add(executor("a")));
  EmbedSubmission good = enqueue(texts({"abc"}));
  EXPECT_EQ(node->requests()[0].prompt_tokens, 3);
  EXPECT_EQ(node->enqueue_embed(texts({std::string(600, 'x')}), {}).error().code, Code::kTooLong);
  EXPECT_EQ(node->enqueue_embed(texts({""}), {}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(node->enqueue_embed(texts({}), {}).error().code, Code::kInvalidArgument);
  EmbedRequest of_a_decoder = texts({"abc"});
  of_a_decoder.executor = "a";
  EXPECT_EQ(node->enqueue_embed(of_a_decoder, {}).error().code, Code::kInvalidArgument);
  of_a_decoder.executor = "nobody";
  EXPECT_EQ(node->enqueue_embed(of_a_decoder, {}).error().code, Code::kNotFound);
  node.finish();
  EXPECT_EQ(good.result.get().embeddings.at(0).vector, std::vector<float>{3});
  EXPECT_TRUE(node->requests().empty());
}

TEST_F(EmbeddingArrivals, WhatOnlyTheLoadCanTellIsTheEndOfTheRequest) {
  ASSERT_TRUE(node->declare(executor("encoder")));
  ASSERT_TRUE(node->declare(executor("a")));
  EmbedSubmission long_one = enqueue(texts({"abc", std::string(600, 'x')}));
  EmbedSubmission empty = enqueue(texts({"abc", ""}));
  EmbedSubmission unknown = enqueue({.executor = "encoder", .texts = {}, .tokens = {{97}}});
  EmbedSubmission good = enqueue({.executor = "encoder", .texts = {}, .tokens = {{1, 2}, {3}}});
  EmbedRequest of_a_decoder = texts({"abc"});
  of_a_decoder.executor = "a";
  EmbedSubmission wrong_model = enqueue(of_a_decoder);
  finish();
  const EmbedCompletion end = long_one.result.get();
  EXPECT_EQ(end.executor, "encoder");
  EXPECT_EQ(end.error->code, Code::kTooLong);
  EXPECT_EQ(end.error->fact("n_prompt_tokens"), 600);
  EXPECT_TRUE(end.embeddings.empty());
  EXPECT_EQ(empty.result.get().error->code, Code::kInvalidArgument);
  EXPECT_NE(unknown.result.get().error->message.find("token 97"), std::string::npos);
  EXPECT_NE(wrong_model.result.get().error->message.find("generates text"), std::string::npos);
  EXPECT_EQ(good.result.get().usage.prompt_tokens, 3);
  EXPECT_EQ(node->executor("encoder")->requests_failed, 3U);
}

TEST_F(EmbeddingArrivals, ARequestToGenerateEndsWhenItsModelIsAnEncoder) {
  ASSERT_TRUE(node->declare(executor("encoder")));
  Submission text = ArrivalsTest::enqueue(request("encoder", "hello"));
  EmbedSubmission vector = enqueue(texts({"abc"}));
  finish();
  EXPECT_EQ(text.result.get().error->code, Code::kInvalidArgument);
  EXPECT_FALSE(vector.result.get().error);
}

TEST_F(EmbeddingArrivals, ACancelEndsItWithoutTheLoad) {
  ASSERT_TRUE(node->declare(executor("encoder")));
  std::optional<Code> told;
  EmbedSubmission gone =
      node->enqueue_embed(texts({"abc"}),
                          {.on_done = [&](const EmbedCompletion& end) { told = end.error->code; }})
          .value();
  EmbedSubmission stays = enqueue(texts({"ab"}));
  ASSERT_TRUE(node->cancel(gone.id));
  tell();
  ASSERT_TRUE(ready(gone));
  EXPECT_EQ(gone.result.get().error->code, Code::kCancelled);
  EXPECT_EQ(told, Code::kCancelled);
  EXPECT_FALSE(node->cancel(gone.id)) << "it has ended";
  EXPECT_EQ(loads->good, 0);
  finish();
  EXPECT_EQ(stays.result.get().embeddings.at(0).vector, std::vector<float>{2});
}

TEST_F(EmbeddingArrivals, ADeadlineEndsItWithoutTheLoad) {
  ASSERT_TRUE(node->declare(executor("encoder")));
  EmbedRequest request = texts({"abc"});
  request.deadline = milliseconds(70);
  EmbedSubmission late = enqueue(request);
  EXPECT_TRUE(node.step()) << "an alarm";
  ASSERT_TRUE(ready(late));
  const EmbedCompletion end = late.result.get();
  EXPECT_EQ(end.error->code, Code::kDeadlineExceeded);
  EXPECT_DOUBLE_EQ(end.usage.total_seconds, 0.07);
  work();
  EXPECT_EQ(loads->good, 0) << "nobody is left to load it for";
}

TEST_F(EmbeddingArrivals, AFailedLoadIsTheEndOfAllAndIsRememberedForAWhile) {
  ASSERT_TRUE(node->declare(missing()));
  EmbedRequest request = texts({"abc"});
  request.executor = "broken";
  for (int i = 0; i < 2; ++i) {
    EmbedSubmission one = enqueue(request);
    EmbedSubmission two = enqueue(request);
    work();
    tell();
    EXPECT_EQ(one.result.get().error->code, Code::kNotFound);
    EXPECT_EQ(two.result.get().error->code, Code::kNotFound);
    EXPECT_EQ(loads->failed, 1);
  }
}

TEST_F(EmbeddingArrivals, ACallbackMayEnqueueOneThatWaitsForALoad) {
  ASSERT_TRUE(node->declare(executor("encoder")));
  ASSERT_TRUE(node->add(executor("a")));
  std::optional<EmbedSubmission> inner;
  ASSERT_TRUE(node->submit(request("a", "hello", 3),
                           {.on_event = {}, .on_done = [&](const Completion&) {
                              inner = node->enqueue_embed(texts({"abc"}), {}).value();
                            }}));
  node.finish();
  ASSERT_TRUE(inner);
  finish();
  EXPECT_EQ(inner->result.get().embeddings.at(0).vector, std::vector<float>{3});
}

TEST_F(EmbeddingArrivals, TheyCountForTheQueueAndForTheDoors) {
  ASSERT_TRUE(node->declare(executor("encoder")));
  for (int i = 0; i < 300; ++i) enqueue(texts({"a"}));
  EXPECT_EQ(node->enqueue_embed(texts({"a"}), {}).error().code, Code::kOverloaded);
  const Status idle = node->wait_idle(milliseconds(0));
  EXPECT_EQ(idle.error().fact("active_embeddings"), 300);
  node->close_door();
  EXPECT_EQ(node->enqueue_embed(texts({"a"}), {}).error().code, Code::kDraining);
  finish();
  EXPECT_TRUE(node->requests().empty()) << "what was accepted is carried out";
}

TEST_F(EmbeddingArrivals, ARemovalAndTheEndOfTheNodeEndThem) {
  ASSERT_TRUE(node->declare(executor("encoder")));
  EmbedSubmission of_removal = enqueue(texts({"abc"}));
  ASSERT_TRUE(node.waiting([&] { return node->remove("encoder", Drain::kCancel); }));
  EXPECT_EQ(of_removal.result.get().error->code, Code::kCancelled);
  ASSERT_TRUE(node->declare(executor("encoder")));
  EmbedSubmission of_node = enqueue(texts({"abc"}));
  node.waiting([&] {
    node->shutdown(Drain::kCancel);
    return true;
  });
  EXPECT_EQ(of_node.result.get().error->code, Code::kCancelled);
  EXPECT_FALSE(node->enqueue_embed(texts({"abc"}), {}));
  EXPECT_EQ(loads->good, 0);
}

TEST_F(EmbeddingArrivals, UnderTheSequentialPolicyTheyStopNobodyElse) {
  ASSERT_TRUE(node->set_policy(ExecutionPolicy::kSequential));
  ASSERT_TRUE(node->declare(executor("encoder")));
  ASSERT_TRUE(node->add(executor("a")));
  EmbedSubmission cold = enqueue(texts({"abc"}));
  Submission warm = ArrivalsTest::enqueue(request("a", "hello", 3));
  node.finish();
  EXPECT_TRUE(ArrivalsTest::ready(warm));
  finish();
  EXPECT_FALSE(cold.result.get().error);
}

TEST_F(EmbeddingArrivals, TheyMoveWithTheirExecutorAlsoToANodeWithAShorterQueue) {
  NodeConfig shorter;
  shorter.queue_max = 2;
  Driven there(shorter);
  ASSERT_TRUE(node->declare(executor("encoder")));
  std::vector<EmbedSubmission> all;
  for (int i = 0; i < 6; ++i) all.push_back(enqueue(texts({"abc"})));
  all.push_back(enqueue({.executor = "encoder", .texts = {}, .tokens = {{1, 2, 3}}}));
  ASSERT_TRUE(node->migrate("encoder", *there));
  EXPECT_EQ(node->info().requests_active, 0);
  there->parts().background.run_here();
  there.finish();
  for (EmbedSubmission& s : all) {
    ASSERT_TRUE(ready(s));
    EXPECT_EQ(s.result.get().embeddings.at(0).vector, std::vector<float>{3});
  }
}

// The executor is in memory there and does not take requests yet.
TEST_F(EmbeddingArrivals, OneThatComesDuringAMoveWaitsForItsEnd) {
  Driven there;
  ASSERT_TRUE(node->add(executor("encoder")));
  const ExecutorMove move = node->begin_move("encoder", there->node()).value();
  ASSERT_TRUE(there->expect(move));
  EmbedSubmission early = there->enqueue_embed(texts({"abc"}), {}).value();
  there->parts().background.run_here();
  there.finish();
  EXPECT_FALSE(ready(early));
  const auto frozen = node.waiting([&] { return node->freeze(move.key()); }).value();
  ASSERT_TRUE(there->adopt(*frozen));
  ASSERT_TRUE(node->forget(move.key()));
  there->parts().background.run_here();
  there.finish();
  ASSERT_TRUE(ready(early));
  EXPECT_EQ(early.result.get().embeddings.at(0).vector, std::vector<float>{3});
}

}  // namespace
}  // namespace choir
