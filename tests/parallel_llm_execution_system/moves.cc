// Suspend, clone, scale, residency, optimize, migrate: while requests run, and nothing is lost.
#include <latch>
#include <thread>

#include "choir/machine.h"
#include "tests/parallel_llm_execution_system/system_test.h"
#include "tests/partly.h"

namespace choir::parallel {
namespace {

class Moves : public OnEachModel {
 protected:
  // The text of a long answer, with `in_between` done after its first tokens, and whether the
  // answer was still under way then.
  struct Answer {
    std::string text;
    bool under_way = false;
  };
  Answer answer_with(const std::function<void()>& in_between) {
    // As long as the shortest executor below takes with a chat's prompt.
    LLMExecutionRequest request = request_of("a", "Once upon a time", 200);
    request.temperature = 0.8F;
    request.parameters["seed"] = "3";
    request.streamOutput = true;
    auto began = std::make_shared<std::latch>(1);
    auto told = std::make_shared<std::atomic<bool>>(false);
    a->onToken([began, told](const std::string&, const std::string&) {
      if (!told->exchange(true)) began->count_down();
    });
    auto future = a->executeAsync(request);
    began->wait();
    in_between();
    Answer answer;
    answer.under_way = future.wait_for(std::chrono::seconds(0)) == std::future_status::timeout;
    const auto response = future.get();
    EXPECT_TRUE(response.success) << response.error;
    answer.text = response.outputText;
    return answer;
  }
  // `change` in the middle of an answer changes nothing in it. The smallest model's answer takes
  // some 50 ms: where this thread had no core for so long, the change is undone and tried again.
  void expect_the_same(
      const std::string& alone, const std::string& what, const std::function<void()>& change,
      const std::function<void()>& undo = [] {}) {
    SCOPED_TRACE(what);
    // Equal answers are promised where our kernels compute all of the model.
    const bool same_bits = !version().kernels.starts_with("off");
    if (!same_bits) partly("our kernels are off, so answers need not be equal");
    for (int attempt = 0; attempt < 20; ++attempt) {
      const Answer answer = answer_with(change);
      if (same_bits)
        EXPECT_EQ(answer.text, alone);
      else
        EXPECT_FALSE(answer.text.empty());
      if (answer.under_way) return;
      undo();
    }
    ADD_FAILURE() << "the answer had ended each time";
  }
  double number(const std::string& key) { return std::stod(a->getResourceInfo()[key]); }
};

TEST_P(Moves, NothingChangesAnAnswerThatIsUnderWay) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  ASSERT_TRUE(system.initialize()) << system.lastError();
  ASSERT_TRUE(system.registerNode("target_node_1")) << system.lastError();
  const std::string alone = answer_with([] {}).text;
  expect_the_same(alone, "suspend", [&] {
    EXPECT_TRUE(a->suspend());
    EXPECT_TRUE(a->resume());
  });
  expect_the_same(alone, "scale", [&] { EXPECT_TRUE(a->scale(6, 250)) << a->lastError(); });
  expect_the_same(
      alone, "clone", [&] { EXPECT_TRUE(a->clone("b")) << a->lastError(); },
      [&] { EXPECT_TRUE(manager.destroyLLM("b")) << manager.lastError(); });
  const auto go = [&] {
    EXPECT_TRUE(a->migrate("target_node_1")) << a->lastError();
    EXPECT_EQ(a->getResourceInfo()["node"], "target_node_1");
  };
  const auto come_back = [&] { EXPECT_TRUE(a->migrate("home")) << a->lastError(); };
  expect_the_same(alone, "migrate", go, come_back);
  expect_the_same(alone, "and back", come_back, go);
  a->onToken(nullptr);
  EXPECT_FALSE(a->migrate("nowhere"));
  EXPECT_NE(a->lastError().find("target_node_1"), std::string::npos) << a->lastError();
  EXPECT_TRUE(a->execute(request_of("a", "Once")).success) << "nothing is lost";
  EXPECT_FALSE(system.registerNode("target_node_1")) << "taken";
  EXPECT_TRUE(system.unregisterNode("target_node_1"));
  system.shutdown();
}

TEST_P(Moves, AMovedExecutorTakesItsConversationsAlong) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  ASSERT_TRUE(system.initialize());
  ASSERT_TRUE(system.registerNode("n"));
  LLMExecutionContext context;
  context.contextId = "c";
  ASSERT_EQ(a->createContext(context), "c");
  LLMExecutionRequest request = request_of("a", "Once upon a time there was a dog");
  request.parameters["context_id"] = "c";
  ASSERT_TRUE(a->execute(request).success);
  ASSERT_TRUE(a->migrate("n")) << a->lastError();
  EXPECT_EQ(a->getContext("c").conversationHistory.size(), 2U);
  request.inputText = "Then";
  ASSERT_TRUE(a->execute(request).success);
  EXPECT_GT(a->getPerformanceMetrics()["reused_tokens"], 10);
  EXPECT_FALSE(system.unregisterNode("n")) << "it has an executor";
  ASSERT_TRUE(a->migrate("home"));
  EXPECT_TRUE(system.unregisterNode("n")) << system.lastError();
  system.shutdown();
}

TEST_P(Moves, WhatWaitsInASuspendedExecutorMovesToo) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  ASSERT_TRUE(system.initialize());
  ASSERT_TRUE(system.registerNode("n"));
  ASSERT_TRUE(a->suspend());
  LLMExecutionRequest request = request_of("a", "Once");
  request.requestId = "waits";
  auto waits = a->executeAsync(request);
  request.requestId = "goes";
  auto goes = a->executeAsync(request);
  ASSERT_TRUE(a->migrate("n")) << a->lastError();
  EXPECT_EQ(a->getStatus(), LLMExecutionStatus::SUSPENDED);
  EXPECT_TRUE(a->cancelExecution("goes")) << a->lastError();
  EXPECT_FALSE(goes.get().success);
  ASSERT_TRUE(a->resume());
  EXPECT_TRUE(waits.get().success);
  ASSERT_TRUE(a->migrate("home"));
  EXPECT_TRUE(system.unregisterNode("n")) << system.lastError();
  system.shutdown();
}

TEST_P(Moves, ACloneSharesTheWeightsAndHasTheConversations) {
  LLMExecutionContext context;
  context.contextId = "c";
  ASSERT_EQ(a->createContext(context), "c");
  LLMExecutionRequest request = request_of("a", "Once upon a time there was a dog");
  request.parameters["context_id"] = "c";
  ASSERT_TRUE(a->execute(request).success);
  const double before = manager.getSystemMetrics()["memory_bytes_promised"];
  ASSERT_TRUE(a->clone("b")) << a->lastError();
  const double added = manager.getSystemMetrics()["memory_bytes_promised"] - before;
  EXPECT_LT(added, number("kv_bytes") + number("compute_bytes") + 1) << "no second weights";
  const auto b = advanced(manager.getLLM("b"));
  ASSERT_NE(b, nullptr);
  request.inputText = "Then";
  const auto of_a = a->execute(request);
  request.llmId = "b";
  const auto of_b = b->execute(request);
  EXPECT_EQ(of_a.outputText, of_b.outputText);
  EXPECT_GT(b->getPerformanceMetrics()["reused_tokens"], 10);
  EXPECT_FALSE(a->clone("b")) << "taken";
  EXPECT_FALSE(AdvancedLLMExecutor(config_of("x")).clone("y"));
}

TEST_P(Moves, ScaleIsRefusedWithNeedAndFreeBytesWhenItDoesNotFit) {
  const double before = number("kv_bytes");
  EXPECT_FALSE(a->scale(0, 100));
  EXPECT_FALSE(a->scale(300, 100));
  ASSERT_TRUE(a->scale(8, 200)) << a->lastError();
  EXPECT_EQ(number("batch_size"), 8);
  EXPECT_EQ(number("kv_cells"), 1600);
  EXPECT_EQ(a->getConfig().batchSize, 8U);
  EXPECT_NE(number("kv_bytes"), before);
  if (GetParam() != stories()) {
    EXPECT_FALSE(a->scale(256, 1U << 20U));
    EXPECT_NE(a->lastError().find("needs"), std::string::npos) << a->lastError();
  } else {
    partly("the smallest model fits at any size");
  }
  EXPECT_EQ(number("batch_size"), 8) << "as it was";
  EXPECT_TRUE(a->execute(request_of("a", "Once")).success);
}

TEST_P(Moves, UnloadGivesTheBytesBackAndTheNextRequestLoadsAgain) {
  EXPECT_TRUE(a->isModelLoaded());
  ASSERT_TRUE(a->unloadModel()) << a->lastError();
  EXPECT_FALSE(a->isModelLoaded());
  EXPECT_EQ(manager.getSystemMetrics()["memory_bytes_promised"], promised_before);
  EXPECT_EQ(manager.getSystemMetrics()["loaded_llms"], 0);
  EXPECT_TRUE(a->execute(request_of("a", "Once")).success);
  EXPECT_TRUE(a->isModelLoaded());
  ASSERT_TRUE(a->unloadModel());
  ASSERT_TRUE(a->preloadModel());
  EXPECT_TRUE(a->isModelLoaded());
  ASSERT_TRUE(a->suspend());
  auto waits = a->executeAsync(request_of("a", "Once"));
  EXPECT_FALSE(a->unloadModel()) << "it has work";
  EXPECT_NE(a->lastError().find("1 active"), std::string::npos) << a->lastError();
  ASSERT_TRUE(a->resume());
  EXPECT_TRUE(waits.get().success);
}

TEST_P(Moves, OptimizeReportsBeforeAndAfterAndChangesNoResult) {
  if (GetParam() != stories()) GTEST_SKIP() << "seconds of measuring; the smallest shows it";
  const std::string before = a->execute(request_of("a", "Once upon a time", 40)).outputText;
  ASSERT_TRUE(a->optimize()) << a->lastError();
  auto metrics = a->getPerformanceMetrics();
  EXPECT_GT(metrics["optimize_prompt_tokens_per_second_before"], 0);
  EXPECT_GE(metrics["optimize_prompt_tokens_per_second_after"],
            metrics["optimize_prompt_tokens_per_second_before"]);
  EXPECT_EQ(metrics["optimize_batch_tokens_after"], number("batch_tokens_max"));
  EXPECT_EQ(a->execute(request_of("a", "Once upon a time", 40)).outputText, before);
  ASSERT_TRUE(a->suspend());
  EXPECT_FALSE(a->optimize()) << "nothing to measure while it stands still";
  ASSERT_TRUE(a->resume());
}

TEST_P(Moves, ResourcesAreNamedAndValid) {
  auto info = a->getResourceInfo();
  EXPECT_EQ(info["llm_id"], "a");
  EXPECT_EQ(info["model_type"], "GPT");
  EXPECT_GT(number("weight_bytes"), 0);
  EXPECT_GT(number("layers"), 0);
  EXPECT_TRUE(a->validateResources()) << a->lastError();
  EXPECT_FALSE(AdvancedLLMExecutor(config_of("x")).validateResources());
}

TEST_P(Moves, ProfilingAddsSecondsPerStageWhileItIsOn) {
  a->execute(request_of("a", "Once"));
  EXPECT_EQ(a->getProfilingData()["profiled_requests"], 0);
  ASSERT_TRUE(a->enableProfiling());
  a->execute(request_of("a", "Once"));
  auto data = a->getProfilingData();
  EXPECT_EQ(data["profiled_requests"], 1);
  EXPECT_GT(data["decode_seconds"], 0);
  EXPECT_GT(data["device_memory_size"], 0);
  ASSERT_TRUE(a->disableProfiling());
  a->execute(request_of("a", "Once"));
  EXPECT_EQ(a->getProfilingData()["profiled_requests"], 1);
  EXPECT_GE(a->getUtilization(), 0.0F);
  EXPECT_LE(a->getUtilization(), 1.0F);
}

INSTANTIATE_TEST_SUITE_P(, Moves, testing::ValuesIn(all_models()), model_name);

}  // namespace
}  // namespace choir::parallel
