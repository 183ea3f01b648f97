// Executors that leave while they are busy, over a fake engine whose passes are held and counted.
#include <gtest/gtest.h>

#include <thread>

#include "runtime/config_parts.h"
#include "runtime/runtime.h"
#include "tests/executor_stage.h"
#include "tests/fake_node.h"
#include "tests/pass_gate.h"

namespace choir {
namespace {

std::shared_ptr<Runtime> start(std::unique_ptr<Backend> backend, NodeConfig config = {}) {
  return *Runtime::create(config, machine_of(2), std::move(backend));
}

// A long answer of a gated node is in the middle of a pass.
class RuntimeLeaving : public testing::Test {
 protected:
  void SetUp() override {
    ExecutorConfig config = executor("a");
    config.context_tokens = 4096;
    ASSERT_TRUE(here->add(config));
    gate->close();
    running = *here->submit(request("a", "hello", 2000), {});
    gate->await_pass();
  }
  // Calls `leave` in a thread of its own, lets the passes go when the executor is `leaving`, and
  // `meanwhile` is done; returns how often they looked at their signal.
  int ticks_until(
      const std::function<void()>& leave, const std::function<bool()>& leaving,
      const std::function<void()>& meanwhile = [] {}) {
    std::thread thread(leave);
    while (!leaving()) std::this_thread::yield();
    meanwhile();
    gate->open();
    thread.join();
    return gate->ticks();
  }
  bool moving() const {
    const Status refused = here->unload("a");
    EXPECT_FALSE(refused);
    if (refused.error().code == Code::kNotFound) return true;
    EXPECT_EQ(refused.error().code, Code::kOverloaded) << "at once: a pass stands still";
    return false;
  }
  bool shut() const { return !here->look("a", {}); }

  static constexpr int kOnePass = 2;  // of one slice
  std::shared_ptr<PassGate> gate = std::make_shared<PassGate>();
  std::shared_ptr<Runtime> here = start(std::make_unique<GatedBackend>(gate));
  std::shared_ptr<Runtime> there = choir::start();
  Submission running;
};

TEST_F(RuntimeLeaving, AMoveWaitsForThePassThatRunsAndNoOther) {
  EXPECT_EQ(ticks_until([&] { EXPECT_TRUE(here->migrate("a", *there)); }, [&] { return moving(); }),
            kOnePass);
  const Completion moved = running.result.get();
  EXPECT_EQ(moved.tokens, there->run(request("a", "hello", 2000))->tokens);
}

TEST_F(RuntimeLeaving, ARemovalThatCancelsWaitsForThePassThatRunsAndNoOther) {
  std::vector<Submission> waiting;
  for (int i = 0; i < 6; ++i) waiting.push_back(*here->submit(request("a", "hello", 2000), {}));
  const int ticks =
      ticks_until([&] { EXPECT_TRUE(here->remove("a", Drain::kCancel)); }, [&] { return shut(); });
  EXPECT_LE(ticks, kOnePass) << "a prompt is even ended in the middle";
  EXPECT_EQ(running.result.get().finish, Finish::kCancelled);
  for (auto& submission : waiting) EXPECT_EQ(submission.result.get().finish, Finish::kCancelled);
}

TEST_F(RuntimeLeaving, ASizeAskedForDuringAMoveIsRefusedAndNotLost) {
  ticks_until([&] { EXPECT_TRUE(here->migrate("a", *there)); }, [&] { return moving(); },
              [&] { EXPECT_EQ(here->resize("a", 2, 100).error().code, Code::kNotFound); });
  EXPECT_EQ(there->executor("a")->config.sequences_max, 4);
}

TEST_F(RuntimeLeaving, WhoCallsDuringAMoveIsAnsweredAfterIt) {
  std::vector<std::thread> callers;
  ExecutorConfig other = here->executor("a")->config;
  other.shares = 3;
  ticks_until([&] { EXPECT_TRUE(here->migrate("a", *there)); }, [&] { return moving(); },
              [&] {
                const auto left = [](const auto& result) {
                  EXPECT_FALSE(result);
                  if (!result) {
                    EXPECT_EQ(result.error().code, Code::kNotFound);
                  }
                };
                callers.emplace_back([&, left] { left(here->submit(request("a", "x"), {})); });
                callers.emplace_back([&, left] { left(here->update(other)); });
                callers.emplace_back([&, left] { left(here->suspend("a")); });
                callers.emplace_back([&, left] { left(here->resume("a")); });
                callers.emplace_back([&, left] { left(here->remove("a", Drain::kCancel)); });
              });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(there->executor("a")->config.shares, 1);
}

TEST_F(RuntimeLeaving, WhatIsEnqueuedDuringAMoveDoesNotWaitAndGoesAlong) {
  std::vector<Submission> came;
  ticks_until([&] { EXPECT_TRUE(here->migrate("a", *there)); }, [&] { return moving(); },
              [&] {
                for (int i = 0; i < 20; ++i)
                  came.push_back(*here->enqueue(*here->prepare(request("a", "hello", 5)), {}));
                EXPECT_TRUE(there->cancel(came.back().id)) << "wherever it is";
              });
  EXPECT_EQ(came.back().result.get().finish, Finish::kCancelled);
  came.pop_back();
  const auto alone = there->run(request("a", "hello", 5))->tokens;
  for (Submission& submission : came) EXPECT_EQ(submission.result.get().tokens, alone);
}

TEST_F(RuntimeLeaving, WhoCallsANodeThatIsEndingIsAnswered) {
  std::vector<std::thread> callers;
  ticks_until([&] { EXPECT_TRUE(here->migrate("a", *there)); }, [&] { return moving(); },
              [&] {
                callers.emplace_back([&] { EXPECT_FALSE(here->submit(request("a", "x"), {})); });
                callers.emplace_back([&] { here->shutdown(Drain::kCancel); });
                callers.emplace_back([&] { (void)here->load("a"); });
              });
  for (std::thread& caller : callers) caller.join();
  (void)running.result.get();
}

TEST(RuntimeUpdate, AResizeThatIsUnderWayWritesNoSettingBack) {
  const auto gate = std::make_shared<PassGate>();
  const auto node = start(std::make_unique<GatedBackend>(gate));
  ASSERT_TRUE(node->add(executor("a")));
  gate->close();
  std::thread resize([&] { EXPECT_TRUE(node->resize("a", 2, 100)); });
  gate->await_pass();  // the first one of the new engine
  ExecutorConfig config = executor("a");
  config.shares = 3;
  config.pinned = true;
  EXPECT_TRUE(node->update(config));
  gate->open();
  resize.join();
  const ExecutorConfig now = node->executor("a")->config;
  EXPECT_EQ(now.shares, 3);
  EXPECT_TRUE(now.pinned);
  EXPECT_EQ(now.sequences_max, 2);
  EXPECT_EQ((*node->find("a"))->config(), now) << "the executor says the same";
}

TEST(RuntimeUpdate, AnExecutorThatIsToldOldSizesKeepsItsOwn) {
  Stage stage;
  ExecutorConfig old = stage.executor->config();
  const ExecutorConfig before = old;
  old.context_tokens = 17;
  old.sequences_max = 1;
  old.sequence_tokens_max = 5;
  old.batch_tokens_max = 3;
  old.shares = 3;
  stage.executor->update(old);
  ExecutorConfig want = before;
  want.shares = 3;
  EXPECT_EQ(stage.executor->config(), want);
}

TEST(ConfigParts, EveryFieldIsASettingOrASizeOrFixed) {
  ExecutorConfig other;
  other.name = "a";
  other.path = "p";
  other.context_tokens = 1;
  other.sequences_max = 2;
  other.sequence_tokens_max = 3;
  other.batch_tokens_max = 4;
  other.shares = 5;
  other.priority = Priority::kLow;
  other.park_bytes_max = 6;
  other.batching = Batching::kOneAtATime;
  other.pinned = true;
  other.prefix_cache = false;
  other.kv_type = KvType::kQ80;
  ExecutorConfig taken;
  EXPECT_EQ(fixed_difference(taken, other), "path");
  taken.path = "p";
  EXPECT_EQ(fixed_difference(taken, other), "context_tokens");
  take_sizes(taken, other);
  EXPECT_EQ(fixed_difference(taken, other), "kv_type");
  taken.kv_type = KvType::kQ80;
  EXPECT_EQ(fixed_difference(taken, other), std::nullopt) << "settings may differ";
  take_settings(taken, other);
  taken.name = "a";
  EXPECT_EQ(taken, other);
}

class EncoderBackend final : public PlainBackend {
 public:
  Result<std::shared_ptr<const Model>> load(const std::string& path,
                                            const LoadProgress& progress) override {
    if (path != "encoder.gguf") return PlainBackend::load(path, progress);
    return std::static_pointer_cast<const Model>(
        std::make_shared<const sim::FakeModel>(1 << 20, /*generates=*/false));
  }
};

// One that waits in an executor that stands still; returns its answer.
template <class Leave>
Result<std::vector<float>> embedding_until(Runtime& node, Leave leave) {
  EXPECT_TRUE(node.suspend("encoder"));
  Result<std::vector<float>> answer;
  std::thread caller([&] { answer = node.embed("encoder", "hello"); });
  while (node.executor("encoder")->active == 0) std::this_thread::yield();
  leave();
  caller.join();
  return answer;
}

TEST(RuntimeEmbeddings, ThatHaveNotBegunAreCancelledByARemoval) {
  const auto node = start(std::make_unique<EncoderBackend>());
  ASSERT_TRUE(node->add(executor("encoder")));
  const auto answer =
      embedding_until(*node, [&] { EXPECT_TRUE(node->remove("encoder", Drain::kCancel)); });
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kCancelled);
}

TEST(RuntimeEmbeddings, AreComputedBeforeARemovalThatFinishes) {
  const auto node = start(std::make_unique<EncoderBackend>());
  ASSERT_TRUE(node->add(executor("encoder")));
  EXPECT_TRUE(
      embedding_until(*node, [&] { EXPECT_TRUE(node->remove("encoder", Drain::kFinish)); }));
}

}  // namespace
}  // namespace choir
