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

using testing::ElementsAre;
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

TEST_F(Facade, TextsThatComeTogetherShareAPassOfTheEncoder) {
  LLMExecutionConfig c = config("e", "encoder.gguf");
  c.batchSize = 4;
  ParallelLLMExecutionManager manager;
  ASSERT_TRUE(manager.initialize());
  const auto llm = std::dynamic_pointer_cast<AdvancedLLMExecutor>(manager.createLLM(c));
  ASSERT_TRUE(llm) << manager.lastError();
  const auto steps = [&] { return llm->getPerformanceMetrics()["steps"]; };
  EXPECT_THAT(llm->embedAll({"a", "bb", "ccc", "dddd"}),
              ElementsAre(ElementsAre(1), ElementsAre(2), ElementsAre(3), ElementsAre(4)));
  EXPECT_EQ(steps(), 1);
  EXPECT_THAT(llm->embedAll({"a", ""}), IsEmpty()) << "one of them has no tokens";
  std::vector<LLMExecutionRequest> requests;
  for (const char* text : {"a", "bb", "", "dddd"}) {
    requests.push_back(request(text));
    requests.back().llmId = "e";
  }
  const auto answers = manager.executeBatch(requests);
  EXPECT_EQ(answers[0].outputText, "[1.0]");
  EXPECT_EQ(answers[1].outputText, "[2.0]");
  EXPECT_FALSE(answers[2].success);
  EXPECT_EQ(answers[3].outputText, "[4.0]");
  EXPECT_EQ(steps(), 2) << "three texts in one pass";
  EXPECT_TRUE(llm->scale(2, 128)) << llm->lastError();
  EXPECT_THAT(llm->embedAll({"a", "bb", "ccc"}), testing::SizeIs(3));
  EXPECT_EQ(steps(), 4) << "two texts fit a pass now";
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

}  // namespace
}  // namespace choir::parallel
