// Texts to embed: how many wait, and which are not computed any more.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <vector>

#include "runtime/executor.h"
#include "sim/fake_engine.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

using std::chrono::milliseconds;
using Vector = Result<std::vector<float>>;

class EmbeddingStage {
 public:
  static constexpr std::size_t kMost = 4;

  EmbeddingStage() {
    ExecutorConfig config;
    config.name = "encoder";
    ExecutorRules rules;
    rules.mailbox_max = kMost;
    executor = std::make_unique<Executor>(
        ExecutorId{1}, config, model_,
        std::make_unique<sim::FakeEngine>(model_, EngineConfig{}, sim::FakeRules{}, &clock), rules,
        clock, [](const std::shared_ptr<RequestState>&) {});
  }
  // Invalid when it was refused.
  std::future<Vector> post(Nanos most = Nanos{0}) {
    EmbeddingQueue::Job job{.tokens = {1, 2, 3},
                            .promise = std::make_shared<std::promise<Vector>>(),
                            .submitted = clock.now(),
                            .deadline = most > Nanos{0} ? clock.now() + most : Instant{}};
    auto future = job.promise->get_future();
    return executor->embeddings().post(std::move(job)) ? std::move(future) : std::future<Vector>();
  }
  TurnResult turn() { return executor->turn(pool_, false); }
  std::uint64_t computed() const { return executor->stats().steps.load(); }

  ManualClock clock;
  std::unique_ptr<Executor> executor;

 private:
  std::shared_ptr<const Model> model_ = std::make_shared<const sim::FakeModel>(512, false);
  sim::FakePool pool_{1};
};

TEST(ExecutorEmbeddings, ASuspendedExecutorTakesNoMoreThanItsMailbox) {
  EmbeddingStage stage;
  stage.executor->suspend();
  std::vector<std::future<Vector>> waiting;
  for (int i = 0; i < 50; ++i) {
    if (auto future = stage.post(); future.valid()) waiting.push_back(std::move(future));
    stage.turn();
  }
  EXPECT_EQ(waiting.size(), EmbeddingStage::kMost);
  stage.executor->resume();
  for (auto& future : waiting) {
    stage.turn();
    EXPECT_TRUE(future.get());
  }
  EXPECT_TRUE(stage.post().valid()) << "there is room again";
}

TEST(ExecutorEmbeddings, WhatIsLateIsNotComputed) {
  EmbeddingStage stage;
  stage.executor->suspend();
  auto late = stage.post(milliseconds(5));
  auto patient = stage.post();
  EXPECT_EQ(stage.turn().wake_at, stage.clock.now() + milliseconds(5));
  stage.clock.advance(milliseconds(5));
  EXPECT_EQ(stage.turn().wake_at, std::nullopt);
  const Vector vector = late.get();
  ASSERT_FALSE(vector);
  EXPECT_EQ(vector.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(vector.error().message, "deadline exceeded: the embedding had 5 ms");
  EXPECT_EQ(stage.computed(), 0U);
  stage.executor->resume();
  stage.turn();
  EXPECT_TRUE(patient.get());
  EXPECT_EQ(stage.computed(), 1U);
}

TEST(ExecutorEmbeddings, ADeadlineEndsThePass) {
  EmbeddingStage stage;
  auto late = stage.post(Nanos{1000});  // a pass takes longer
  stage.turn();
  EXPECT_EQ(late.get().error().code, Code::kDeadlineExceeded);
}

TEST(ExecutorEmbeddings, WhatWaitsWhenTheExecutorEndsIsCancelled) {
  EmbeddingStage stage;
  auto waiting = stage.post();
  stage.executor.reset();
  EXPECT_EQ(waiting.get().error().message, "executor 'encoder' was removed");
}

TEST(ExecutorEmbeddings, ASuspendedEncoderOfANodeAnswersInTime) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("encoder")));
  ASSERT_TRUE(runtime->suspend("encoder"));
  const Vector vector = runtime->embed("encoder", "text", milliseconds(1));
  EXPECT_EQ(vector.error().message, "deadline exceeded: the embedding had 1 ms");
  ASSERT_TRUE(runtime->resume("encoder"));
  EXPECT_TRUE(runtime->embed("encoder", "text"));
}

}  // namespace
}  // namespace choir
