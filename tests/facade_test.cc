// Nothing that is thrown crosses parallel/parallel_llm_execution.h: it is the error of its call,
// and the calls after it find nothing half done.
#include <gmock/gmock.h>

#include <chrono>
#include <functional>
#include <future>
#include <latch>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "base/log.h"
#include "facade/boundary.h"
#include "tests/facade_world.h"

namespace choir::parallel {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class Facade : public FacadeWorld {
 protected:
  Facade() { set_log_level(LogLevel::kOff); }
  ~Facade() override { set_log_level(LogLevel::kWarn); }

  static void throw_now(const std::string&) { throw std::out_of_range("on purpose"); }
  // Once, then never again.
  void throw_once(Hooks::Where where) {
    hooks_->set(where, [hooks = hooks_.get(), where](const std::string& what) {
      hooks->set(where, nullptr);
      throw_now(what);
    });
  }
};

TEST_F(Facade, WhatAChangeThrowsIsItsErrorAndTheNextChangeRuns) {
  AdvancedLLMExecutor llm(config("a"));
  throw_once(Hooks::kInspect);
  EXPECT_FALSE(llm.initialize());
  EXPECT_THAT(llm.lastError(), HasSubstr("on purpose"));
  EXPECT_EQ(llm.getStatus(), LLMExecutionStatus::FAILED);
  EXPECT_TRUE(llm.initialize()) << llm.lastError();
  EXPECT_TRUE(llm.scale(1, 128)) << llm.lastError();
  throw_once(Hooks::kMeasure);
  EXPECT_FALSE(llm.scale(2, 256));
  EXPECT_TRUE(llm.unloadModel()) << llm.lastError();
  throw_once(Hooks::kLoad);
  EXPECT_FALSE(llm.preloadModel());
  EXPECT_TRUE(llm.preloadModel()) << llm.lastError();
}

struct Reports {
  bool report(const char* call, const Status& status) const {
    if (!status) told += std::string(call) + ": " + status.error().message;
    return status.has_value();
  }
  mutable std::string told;
};

TEST_F(Facade, WhatTheBeginningOfALaterAnswerThrowsIsTheAnswer) {
  const Reports inside;
  const auto refused = [](const Error& error) { return "refused: " + error.message; };
  std::function<void(std::string)> kept;
  auto thrown = told_later<std::string>(
      inside, "executeAsync",
      [&](auto answer) {
        kept = answer;
        throw_now("");
      },
      refused);
  ASSERT_EQ(thrown.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_THAT(thrown.get(), HasSubstr("refused: "));
  EXPECT_THAT(inside.told, HasSubstr("executeAsync: "));
  kept("too late");
  auto later = told_later<std::string>(
      inside, "executeAsync", [&](auto answer) { kept = answer; }, refused);
  kept("an answer");
  EXPECT_EQ(later.get(), "an answer");
}

TEST_F(Facade, AnExecutorThatCouldNotBeginLeavesNoNameAndNoConversationsBehind) {
  const auto world = World::get().value();
  AdvancedLLMExecutor llm(config("a"));
  throw_once(Hooks::kMeasure);
  EXPECT_FALSE(llm.initialize());
  EXPECT_EQ(world->take_name("a"), "a");
  world->release_name("a");
  EXPECT_TRUE(world->conversations().attach("a", ""));
  world->conversations().detach("a");
}

TEST_F(Facade, AManagersPlaceIsFreeAgainAfterAThrow) {
  ParallelLLMExecutionManager manager;
  ASSERT_TRUE(manager.initialize());
  ASSERT_TRUE(manager.setMaxLLMs(1));
  throw_once(Hooks::kLoad);
  EXPECT_EQ(manager.createLLM(config("a")), nullptr);
  EXPECT_THAT(manager.lastError(), HasSubstr("on purpose"));
  EXPECT_NE(manager.createLLM(config("a")), nullptr) << manager.lastError();
}

TEST_F(Facade, AWorldThatCouldNotBeMadeIsAnError) {
  World::Parts parts;
  parts.make_node = []() -> Result<std::shared_ptr<Runtime>> {
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
  };
  World::set_parts(parts);
  ParallelLLMExecutionManager manager;
  EXPECT_FALSE(manager.initialize());
  EXPECT_THAT(manager.lastError(), HasSubstr("the system refused"));
  EXPECT_FALSE(AdvancedLLMExecutor(config("a")).initialize());
}

// Of each way in: the request ends, its id is free, the next one is answered.
TEST_F(Facade, ARequestWhosePromptCannotBeReadEndsAsFailed) {
  ParallelLLMExecutionManager manager;
  ASSERT_TRUE(manager.initialize());
  const auto llm = manager.createLLM(config("a"));
  ASSERT_NE(llm, nullptr) << manager.lastError();
  ASSERT_EQ(llm->createContext(context("c")), "c");
  for (const char* talk : {"", "c"}) {
    LLMExecutionRequest r = request("Once", talk);
    r.requestId = "r";
    throw_once(Hooks::kTokenize);
    EXPECT_THAT(llm->execute(r).error, HasSubstr("on purpose"));
    throw_once(Hooks::kTokenize);
    EXPECT_THAT(llm->executeAsync(r).get().error, HasSubstr("on purpose"));
    r.llmId = "a";
    throw_once(Hooks::kTokenize);
    EXPECT_THAT(manager.execute(r).error, HasSubstr("on purpose"));
    throw_once(Hooks::kTokenize);
    EXPECT_THAT(manager.executeBatch({r}).front().error, HasSubstr("on purpose"));
    EXPECT_THAT(manager.getActiveRequests(), IsEmpty());
    const auto answer = llm->execute(r);
    EXPECT_TRUE(answer.success) << answer.error;
  }
  auto metrics = llm->getPerformanceMetrics();
  EXPECT_EQ(metrics["request_count"], 10);
  EXPECT_EQ(metrics["completed_count"], 2);
  EXPECT_EQ(metrics["error_count"], 8);
}

TEST_F(Facade, ATurnThatWaitedAndThrowsLetsTheNextOneRun) {
  AdvancedLLMExecutor llm(config("a"));
  ASSERT_TRUE(llm.initialize());
  ASSERT_EQ(llm.createContext(context("c")), "c");
  ASSERT_TRUE(llm.suspend());
  auto first = llm.executeAsync(request("One", "c"));
  auto second = llm.executeAsync(request("Two", "c"));
  auto third = llm.executeAsync(request("Three", "c"));
  throw_once(Hooks::kTokenize);
  ASSERT_TRUE(llm.resume());
  EXPECT_TRUE(first.get().success);
  EXPECT_THAT(second.get().error, HasSubstr("on purpose"));
  EXPECT_TRUE(third.get().success);
  EXPECT_EQ(llm.getContext("c").conversationHistory.size(), 4U);
}

TEST_F(Facade, AnEmbeddingThatThrowsEndsAsFailed) {
  AdvancedLLMExecutor llm(config("e", "encoder.gguf"));
  ASSERT_TRUE(llm.initialize()) << llm.lastError();
  throw_once(Hooks::kTokenize);
  EXPECT_THAT(llm.execute(request("text")).error, HasSubstr("on purpose"));
  throw_once(Hooks::kTokenize);
  EXPECT_THAT(llm.embed("text"), IsEmpty());
  EXPECT_THAT(llm.lastError(), HasSubstr("on purpose"));
  EXPECT_TRUE(llm.execute(request("text")).success);
}

TEST_F(Facade, EmbeddingsThatStandStillHoldNoThreadAndCanBeCancelled) {
  std::vector<std::unique_ptr<AdvancedLLMExecutor>> still;
  std::vector<std::future<LLMExecutionResponse>> waiting;
  for (int i = 0; i < 8; ++i) {
    const std::string name = "still" + std::to_string(i);
    still.push_back(std::make_unique<AdvancedLLMExecutor>(config(name, "encoder.gguf")));
    ASSERT_TRUE(still.back()->initialize()) << still.back()->lastError();
    ASSERT_TRUE(still.back()->suspend());
    LLMExecutionRequest named = request("text");
    named.requestId = name;
    waiting.push_back(still.back()->executeAsync(named));
  }
  AdvancedLLMExecutor llm(config("e", "encoder.gguf"));
  ASSERT_TRUE(llm.initialize()) << llm.lastError();
  EXPECT_TRUE(llm.execute(request("text")).success) << "though eight others stand still";
  LLMExecutionRequest late = request("text");
  late.timeout = std::chrono::milliseconds(1);
  EXPECT_THAT(still[0]->execute(late).error, HasSubstr("the embedding had 1 ms"));
  EXPECT_TRUE(still[0]->cancelExecution("still0")) << still[0]->lastError();
  EXPECT_THAT(waiting[0].get().error, HasSubstr("cancelled"));
  for (std::size_t i = 1; i < still.size(); ++i) {
    ASSERT_TRUE(still[i]->resume());
    const LLMExecutionResponse response = waiting[i].get();
    EXPECT_TRUE(response.success) << response.error;
    EXPECT_EQ(response.outputText, "[4.0]");
    EXPECT_EQ(response.inputLength, 4U);
  }
}

TEST_F(Facade, AReplacedCallbackMayCallItsExecutorWhenItEnds) {
  AdvancedLLMExecutor llm(config("a"));
  struct Asks {
    explicit Asks(AdvancedLLMExecutor& its_llm) : llm(its_llm) {}
    ~Asks() { EXPECT_EQ(llm.getLLMId(), "a"); }
    AdvancedLLMExecutor& llm;
  };
  llm.onToken([asks = std::make_shared<Asks>(llm)](const auto&, const auto&) {});
  llm.onToken(nullptr);
}

// ---- requests that come while the model is not in memory

class FacadeLoads : public Facade {
 protected:
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
