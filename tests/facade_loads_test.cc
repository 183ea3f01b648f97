// Requests of the seeds' API that come while their model is not in memory.
#include <gmock/gmock.h>

#include <chrono>
#include <future>
#include <latch>
#include <thread>

#include "base/log.h"
#include "runtime/dispatcher.h"
#include "tests/facade_world.h"

namespace choir::parallel {
namespace {

using testing::HasSubstr;

class FacadeLoads : public FacadeWorld {
 protected:
  FacadeLoads() { set_log_level(LogLevel::kOff); }
  ~FacadeLoads() override { set_log_level(LogLevel::kWarn); }
  // Loads of `path` wait from now on until the latch opens.
  std::shared_ptr<std::latch> hold_loads(const std::string& path) {
    auto gate = std::make_shared<std::latch>(1);
    hooks_->set(Hooks::kLoad, [gate, path](const std::string& what) {
      if (what == path) gate->wait();
    });
    return gate;
  }
};

TEST_F(FacadeLoads, OnlySoManyWaitForOne) {
  AdvancedLLMExecutor llm(config("a"));
  ASSERT_TRUE(llm.initialize());
  ASSERT_TRUE(llm.unloadModel());
  const auto gate = hold_loads("one.gguf");
  std::vector<std::future<LLMExecutionResponse>> futures;
  for (int i = 0; i < 1100; ++i) futures.push_back(llm.executeAsync(request("Once")));
  LLMExecutionRequest named = request("Once");
  named.requestId = "one too many";
  EXPECT_THAT(llm.execute(named).error, HasSubstr("try again later"));
  EXPECT_FALSE(llm.isRequestActive("one too many"));
  gate->count_down();
  int answered = 0;
  for (auto& future : futures) answered += future.get().success ? 1 : 0;
  EXPECT_GE(answered, 1024);
  EXPECT_LE(answered, 1025) << "one that loads, and those that wait";
}

TEST_F(FacadeLoads, ThoseThatWaitForOneDoNotKeepTheOthersWaiting) {
  AdvancedLLMExecutor slow(config("slow", "slow.gguf"));
  AdvancedLLMExecutor quick(config("quick"));
  ASSERT_TRUE(slow.initialize());
  // On a node of its own: a node loads one model at a time.
  ASSERT_TRUE(World::get().value()->register_node("n"));
  ASSERT_TRUE(quick.initialize());
  ASSERT_TRUE(quick.migrate("n")) << quick.lastError();
  ASSERT_TRUE(slow.unloadModel());
  ASSERT_TRUE(quick.unloadModel());
  const auto gate = hold_loads("slow.gguf");
  std::vector<std::future<LLMExecutionResponse>> futures;
  for (int i = 0; i < 8; ++i) futures.push_back(slow.executeAsync(request("Once")));
  EXPECT_TRUE(quick.execute(request("Once")).success);
  gate->count_down();
  for (auto& future : futures) EXPECT_TRUE(future.get().success);
}

TEST_F(FacadeLoads, TurnsThatWaitForALoadKeepTheirOrder) {
  AdvancedLLMExecutor llm(config("a"));
  ASSERT_TRUE(llm.initialize());
  ASSERT_EQ(llm.createContext(context("c")), "c");
  ASSERT_TRUE(llm.unloadModel());
  const auto gate = hold_loads("one.gguf");
  std::vector<std::future<LLMExecutionResponse>> futures;
  for (int i = 0; i < 8; ++i) futures.push_back(llm.executeAsync(request(std::to_string(i), "c")));
  gate->count_down();
  for (auto& future : futures) EXPECT_TRUE(future.get().success);
  const auto history = llm.getContext("c").conversationHistory;
  ASSERT_EQ(history.size(), 16U);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(history[2 * i], std::to_string(i));
}

// Eight executors whose loads do not come: as many as would take all threads of the facade.
TEST_F(FacadeLoads, ThatHoldNoThreadCanBeCancelledAndRunOutOfTime) {
  std::vector<std::unique_ptr<AdvancedLLMExecutor>> cold;
  const auto gate = hold_loads("slow.gguf");
  std::vector<std::future<LLMExecutionResponse>> waiting;
  std::vector<std::future<LLMExecutionResponse>> late;
  for (int i = 0; i < 8; ++i) {
    const std::string name = "cold" + std::to_string(i);
    cold.push_back(std::make_unique<AdvancedLLMExecutor>(config(name)));
    ASSERT_TRUE(cold.back()->initialize()) << cold.back()->lastError();
    ASSERT_EQ(cold.back()->createContext(context("c")), "c");
    ASSERT_TRUE(cold.back()->unloadModel());
  }
  hooks_->set(Hooks::kLoad, [gate](const std::string&) { gate->wait(); });
  for (const auto& llm : cold) {
    LLMExecutionRequest named = request("Once", "c");
    named.requestId = llm->getLLMId();
    waiting.push_back(llm->executeAsync(named));
    LLMExecutionRequest hurried = request("Twice");
    hurried.timeout = std::chrono::milliseconds(1);
    late.push_back(llm->executeAsync(hurried));
  }
  for (auto& future : late) EXPECT_THAT(future.get().error, HasSubstr("had 1 ms"));
  EXPECT_TRUE(cold[0]->cancelExecution("cold0")) << cold[0]->lastError();
  EXPECT_THAT(waiting[0].get().error, HasSubstr("cancelled"));
  gate->count_down();
  for (std::size_t i = 1; i < waiting.size(); ++i) {
    const LLMExecutionResponse answer = waiting[i].get();
    EXPECT_TRUE(answer.success) << answer.error;
    EXPECT_EQ(answer.outputTokens.size(), 8U) << "the model is known at the end";
  }
}

TEST_F(FacadeLoads, OfEncodersHoldNoThreadEither) {
  std::vector<std::unique_ptr<AdvancedLLMExecutor>> cold;
  for (int i = 0; i < 8; ++i) {
    cold.push_back(
        std::make_unique<AdvancedLLMExecutor>(config("cold" + std::to_string(i), "encoder.gguf")));
    ASSERT_TRUE(cold.back()->initialize()) << cold.back()->lastError();
    ASSERT_TRUE(cold.back()->unloadModel());
  }
  const auto gate = hold_loads("encoder.gguf");
  std::vector<std::future<LLMExecutionResponse>> waiting;
  std::vector<std::future<LLMExecutionResponse>> late;
  for (const auto& llm : cold) {
    LLMExecutionRequest named = request("Once");
    named.requestId = llm->getLLMId();
    waiting.push_back(llm->executeAsync(named));
    LLMExecutionRequest hurried = request("Twice");
    hurried.timeout = std::chrono::milliseconds(1);
    late.push_back(llm->executeAsync(hurried));
  }
  for (auto& future : late) EXPECT_FALSE(future.get().success) << "its time is over";
  EXPECT_TRUE(cold[0]->cancelExecution("cold0")) << cold[0]->lastError();
  EXPECT_THAT(waiting[0].get().error, HasSubstr("cancelled"));
  gate->count_down();
  for (std::size_t i = 1; i < waiting.size(); ++i) {
    const LLMExecutionResponse answer = waiting[i].get();
    EXPECT_TRUE(answer.success) << answer.error;
  }
}

TEST_F(FacadeLoads, TokensAreReadWhenTheModelIsThere) {
  AdvancedLLMExecutor llm(config("a"));
  ASSERT_TRUE(llm.initialize());
  LLMExecutionRequest tokens = request("");
  tokens.inputTokens = {"O", "n", "66"};
  const LLMExecutionResponse warm = llm.execute(tokens);
  EXPECT_TRUE(warm.success) << warm.error;
  ASSERT_TRUE(llm.unloadModel());
  const LLMExecutionResponse cold = llm.execute(tokens);
  EXPECT_EQ(cold.outputTokens, warm.outputTokens);
  EXPECT_EQ(cold.inputLength, 3U);
  for (const bool loaded : {true, false}) {
    LLMExecutionRequest unknown = request("");
    unknown.inputTokens = {"no token"};
    EXPECT_THAT(llm.execute(unknown).error, HasSubstr("no token of this model"));
    unknown.inputTokens = {"97"};
    EXPECT_THAT(llm.execute(unknown).error, HasSubstr("not in the vocabulary")) << loaded;
    ASSERT_TRUE(llm.unloadModel());
  }
}

TEST_F(FacadeLoads, APromptIsNotCutIntoTokensOnACallbacksThread) {
  AdvancedLLMExecutor llm(config("a"));
  ASSERT_TRUE(llm.initialize());
  std::promise<std::future<LLMExecutionResponse>> inside;
  std::promise<bool> on_dispatcher;
  LLMExecutionRequest r = request("Outside");
  r.maxOutputLength = 1;
  ASSERT_TRUE(llm.executeStreaming(r,
                                   [&](const auto&, const auto&) {
                                     hooks_->set(Hooks::kTokenize, [&](const std::string&) {
                                       on_dispatcher.set_value(Dispatcher::on_dispatcher_thread());
                                     });
                                     inside.set_value(llm.executeAsync(request("Inside")));
                                   })
                  .success);
  EXPECT_FALSE(on_dispatcher.get_future().get());
  EXPECT_TRUE(inside.get_future().get().get().success);
}

TEST_F(FacadeLoads, ANodeToWhichAnExecutorIsOnItsWayIsNotUnregistered) {
  const auto world = World::get().value();
  ASSERT_TRUE(world->register_node("n"));
  AdvancedLLMExecutor llm(config("a"));
  ASSERT_TRUE(llm.initialize());
  std::promise<void> loads;
  std::latch go_on(1);
  hooks_->set(Hooks::kLoad, [&](const std::string&) {
    loads.set_value();
    go_on.wait();
  });
  std::thread moves([&] { EXPECT_TRUE(llm.migrate("n")) << llm.lastError(); });
  loads.get_future().get();
  hooks_->set(Hooks::kLoad, nullptr);
  const Status refused = world->unregister_node("n");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("just coming"));
  go_on.count_down();
  moves.join();
  EXPECT_EQ(llm.getResourceInfo()["node"], "n");
  EXPECT_FALSE(world->unregister_node("n")) << "it is there";
  ASSERT_TRUE(llm.migrate("home")) << llm.lastError();
  EXPECT_TRUE(world->unregister_node("n"));
  EXPECT_FALSE(world->unregister_node("n")) << "twice";
  EXPECT_FALSE(llm.migrate("n"));
}

}  // namespace
}  // namespace choir::parallel
