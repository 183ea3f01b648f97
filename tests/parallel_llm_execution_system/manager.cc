// The manager and the global system: ways of execution, balancing, policies, residency, duties.
#include <set>

#include "tests/parallel_llm_execution_system/system_test.h"

namespace choir::parallel {
namespace {

class Manager : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(manager.initialize()) << manager.lastError(); }
  std::shared_ptr<AdvancedLLMExecutor> create(const std::string& id, const std::string& group = "",
                                              LLMPriority priority = LLMPriority::NORMAL) {
    LLMExecutionConfig config = config_of(id);
    config.priority = priority;
    if (!group.empty()) config.parameters["group"] = group;
    auto llm = advanced(manager.createLLM(config));
    EXPECT_NE(llm, nullptr) << manager.lastError();
    return llm;
  }
  std::vector<LLMExecutionRequest> requests(const std::vector<std::string>& ids,
                                            std::size_t tokens = 8) {
    std::vector<LLMExecutionRequest> list;
    for (const std::string& id : ids) {
      list.push_back(request_of(id, "Once " + std::to_string(list.size()), tokens));
      list.back().requestId = "r" + std::to_string(list.size());
    }
    return list;
  }
  // Who answers `count` requests for `target`, one after the other.
  std::vector<std::string> who_answers(const std::string& target, int count) {
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) {
      const auto response = manager.execute(request_of(target, "Once"));
      EXPECT_TRUE(response.success) << response.error;
      ids.push_back(response.llmId);
    }
    return ids;
  }

  ParallelLLMExecutionManager manager;
};

TEST_F(Manager, EveryWayGivesOneResponsePerRequestInOrder) {
  create("a");
  create("b");
  auto list = requests({"a", "b", "nobody", "a", "b", "a"});
  list[3].temperature = 99;
  using Way = std::vector<LLMExecutionResponse> (ParallelLLMExecutionManager::*)(
      const std::vector<LLMExecutionRequest>&);
  for (const Way way :
       {&ParallelLLMExecutionManager::executeParallel,
        &ParallelLLMExecutionManager::executePipelined, &ParallelLLMExecutionManager::executeBatch,
        &ParallelLLMExecutionManager::executeHybrid}) {
    const auto responses = (manager.*way)(list);
    ASSERT_EQ(responses.size(), list.size());
    for (std::size_t i = 0; i < responses.size(); ++i) {
      EXPECT_EQ(responses[i].requestId, list[i].requestId);
      EXPECT_EQ(responses[i].success, i != 2 && i != 3) << i << ": " << responses[i].error;
    }
    EXPECT_TRUE(manager.getActiveRequests().empty());
  }
  auto metrics = manager.getExecutionMetrics();
  EXPECT_EQ(metrics["requests_completed"], 16);
  EXPECT_EQ(metrics["requests_failed"], 8);
  EXPECT_EQ(metrics["requests_parallel"], 6 + 1) << "and the one of hybrid that is for nobody else";
  EXPECT_EQ(metrics["requests_pipelined"], 6);
  EXPECT_EQ(metrics["requests_batched"], 6 + 5);
  EXPECT_TRUE(manager.executeParallel({}).empty());
}

TEST_F(Manager, APipelineHandsAnswersOnAndAFailureToo) {
  create("a");
  create("b");
  auto list = requests({"a", "b", "a", "b", "a"});
  list[1].inputText = "Before: {{previous}}";
  list[2].parameters["pipeline_input"] = "previous";
  list[2].inputText = "And then";
  list[3].maxOutputLength = 0;
  list[4].inputText = "{{previous}}";
  for (auto& request : list) request.parameters["template"] = "none";
  auto responses = manager.executePipelined(list);
  ASSERT_TRUE(responses[0].success && responses[1].success && responses[2].success);
  LLMExecutionRequest alone = list[1];
  alone.inputText = "Before: " + responses[0].outputText;
  EXPECT_EQ(manager.execute(alone).outputText, responses[1].outputText);
  EXPECT_FALSE(responses[3].success);
  EXPECT_NE(responses[4].error.find("the request before it failed"), std::string::npos);
  EXPECT_EQ(manager.getExecutionMetrics()["requests_chained"], 3);
}

TEST_F(Manager, ABatchBeginsTogether) {
  const auto a = create("a");
  const double before = a->getPerformanceMetrics()["steps"];
  const auto responses = manager.executeBatch(requests({"a", "a", "a", "a"}, 10));
  for (const auto& response : responses) EXPECT_TRUE(response.success) << response.error;
  EXPECT_EQ(a->getPerformanceMetrics()["steps"] - before, 10) << "four answers in ten passes";
  EXPECT_EQ(manager.getExecutionMetrics()["batches"], 1);
}

TEST_F(Manager, ModesSayWhenARequestBegins) {
  const auto a = create("a");
  const auto steps_of = [&](LLMExecutionMode mode) {
    EXPECT_TRUE(a->setExecutionMode(mode));
    EXPECT_TRUE(a->suspend());  // so that all four are there
    std::vector<std::future<LLMExecutionResponse>> futures;
    const double before = a->getPerformanceMetrics()["steps"];
    for (int i = 0; i < 4; ++i) futures.push_back(a->executeAsync(request_of("a", "Once", 10)));
    EXPECT_TRUE(a->resume());
    for (auto& future : futures) EXPECT_TRUE(future.get().success);
    return a->getPerformanceMetrics()["steps"] - before;
  };
  EXPECT_EQ(steps_of(LLMExecutionMode::SEQUENTIAL), 40);
  EXPECT_EQ(steps_of(LLMExecutionMode::BATCH), 10);
  // The last one may just miss the first pass, and joins at the second.
  EXPECT_LE(steps_of(LLMExecutionMode::PARALLEL), 11);
  EXPECT_LE(steps_of(LLMExecutionMode::HYBRID), 11);
  EXPECT_LE(steps_of(LLMExecutionMode::PIPELINED), 11);
}

TEST_F(Manager, TheSequentialPolicyRunsOneRequestInTheWholeNode) {
  const auto a = create("a");
  const auto b = create("b");
  ASSERT_TRUE(manager.setExecutionPolicy("sequential"));
  EXPECT_EQ(manager.getExecutionPolicy(), "sequential");
  const double before = a->getPerformanceMetrics()["steps"] + b->getPerformanceMetrics()["steps"];
  for (const auto& response : manager.executeParallel(requests({"a", "a", "b", "b"}, 10)))
    EXPECT_TRUE(response.success) << response.error;
  EXPECT_EQ(a->getPerformanceMetrics()["steps"] + b->getPerformanceMetrics()["steps"] - before, 40);
  EXPECT_FALSE(manager.setExecutionPolicy("chaotic"));
  EXPECT_NE(manager.lastError().find("balanced"), std::string::npos);
  EXPECT_EQ(manager.getExecutionPolicy(), "sequential") << "as it was";
  for (const char* policy : {"optimized", "latency", "fair", "balanced"}) {
    ASSERT_TRUE(manager.setExecutionPolicy(policy));
    for (const auto& response : manager.executeParallel(requests({"a", "b", "a"})))
      EXPECT_TRUE(response.success) << policy << ": " << response.error;
  }
}

TEST_F(Manager, StrategiesChooseAmongReplicas) {
  create("a", "g", LLMPriority::NORMAL);
  create("b", "g", LLMPriority::HIGH);
  ASSERT_TRUE(manager.setLoadBalancingStrategy("round_robin"));
  EXPECT_EQ(who_answers("g", 4), (std::vector<std::string>{"a", "b", "a", "b"}));
  EXPECT_EQ(who_answers("", 2).size(), 2U) << "nobody named: anybody";
  ASSERT_TRUE(manager.setLoadBalancingStrategy("priority"));
  EXPECT_EQ(who_answers("g", 2), (std::vector<std::string>{"b", "b"}));
  ASSERT_TRUE(manager.setLoadBalancingStrategy("least_loaded"));
  const auto a = advanced(manager.getLLM("a"));
  ASSERT_TRUE(a->suspend());
  auto waits = a->executeAsync(request_of("a", "Once", 100));
  EXPECT_EQ(who_answers("g", 2), (std::vector<std::string>{"b", "b"}));
  ASSERT_TRUE(a->resume());
  EXPECT_TRUE(waits.get().success);
  ASSERT_TRUE(manager.setLoadBalancingStrategy("fastest"));
  EXPECT_EQ(who_answers("g", 2).size(), 2U);
  EXPECT_FALSE(manager.setLoadBalancingStrategy("best"));
  EXPECT_EQ(manager.getLoadBalancingStrategy(), "fastest") << "as it was";
  EXPECT_NE(manager.lastError().find("round_robin"), std::string::npos);
  const auto refused = manager.execute(request_of("gg", "Once"));
  EXPECT_NE(refused.error.find("there is no LLM 'gg'"), std::string::npos) << refused.error;
}

TEST_F(Manager, PrefixAffinityGoesWhereTheConversationIs) {
  const auto a = create("a", "g");
  LLMExecutionContext context;
  context.contextId = "c";
  ASSERT_EQ(a->createContext(context), "c");
  LLMExecutionRequest request = request_of("g", "Once upon a time");
  request.parameters["context_id"] = "c";
  ASSERT_TRUE(manager.setLoadBalancingStrategy("prefix_affinity"));
  create("b", "g");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(manager.execute(request).llmId, "a") << "b has no such one";
  request.parameters["context_id"] = "nowhere";
  EXPECT_NE(manager.execute(request).error.find("nowhere"), std::string::npos);
}

TEST_F(Manager, BalanceLoadEvensQueuesWithinAGroup) {
  const auto a = create("a", "g");
  const auto b = create("b", "g");
  ASSERT_TRUE(a->setExecutionMode(LLMExecutionMode::SEQUENTIAL));
  ASSERT_TRUE(b->setExecutionMode(LLMExecutionMode::SEQUENTIAL));
  std::vector<std::future<LLMExecutionResponse>> futures;
  for (int i = 0; i < 7; ++i) futures.push_back(a->executeAsync(request_of("a", "Once", 150)));
  ASSERT_TRUE(manager.balanceLoad()) << manager.lastError();
  const double moved = manager.getExecutionMetrics()["requests_moved"];
  EXPECT_GE(moved, 1);
  for (auto& future : futures) EXPECT_TRUE(future.get().success);
  EXPECT_GT(b->getPerformanceMetrics()["steps"], 0) << "b computed some of a's";
}

TEST_F(Manager, TheLimitAndTheListsAreKept) {
  EXPECT_FALSE(manager.setMaxLLMs(0));
  ASSERT_TRUE(manager.setMaxLLMs(2));
  create("a", "", LLMPriority::HIGH);
  create("b");
  EXPECT_EQ(manager.createLLM(config_of("c")), nullptr);
  EXPECT_NE(manager.lastError().find("at most 2"), std::string::npos) << manager.lastError();
  EXPECT_EQ(manager.getMaxLLMs(), 2);
  EXPECT_EQ(manager.getAllLLMs().size(), 2U);
  ASSERT_EQ(manager.getLLMsByPriority(LLMPriority::HIGH).size(), 1U);
  EXPECT_EQ(manager.getLLMsByPriority(LLMPriority::HIGH)[0]->getLLMId(), "a");
  EXPECT_EQ(manager.getLLMsByMode(LLMExecutionMode::PARALLEL).size(), 2U);
  EXPECT_TRUE(manager.getLLMsByMode(LLMExecutionMode::BATCH).empty());
  auto counts = manager.getLLMCounts();
  EXPECT_EQ(counts["total"], 2U);
  EXPECT_EQ(counts["ready"], 2U);
  EXPECT_EQ(counts["priority_HIGH"], 1U);
  EXPECT_TRUE(manager.destroyLLM("a"));
  EXPECT_FALSE(manager.destroyLLM("a"));
  EXPECT_EQ(manager.getLLM("a"), nullptr);
  EXPECT_EQ(manager.getLLMCounts()["total"], 1U);
}

TEST_F(Manager, CancelsByNameAndAll) {
  const auto a = create("a");
  ASSERT_TRUE(a->suspend());
  auto list = requests({"a", "a", "a"}, 100);
  std::vector<std::future<LLMExecutionResponse>> futures;
  for (const auto& request : list) futures.push_back(manager.executeAsync(request));
  EXPECT_EQ(manager.getActiveRequests().size(), 3U);
  EXPECT_EQ(manager.getActiveRequestsByLLM("a").size(), 3U);
  EXPECT_TRUE(manager.getActiveRequestsByLLM("b").empty());
  EXPECT_EQ(manager.getSystemMetrics()["active_requests"], 3);
  EXPECT_TRUE(manager.cancelExecution("r2"));
  EXPECT_FALSE(futures[1].get().success);
  EXPECT_FALSE(manager.cancelExecution("r2"));
  EXPECT_TRUE(manager.cancelAllExecutions());
  EXPECT_FALSE(futures[0].get().success);
  EXPECT_FALSE(futures[2].get().success);
  EXPECT_TRUE(manager.getActiveRequests().empty());
}

TEST_F(Manager, IdleOnesAreUnloadedAndNeverOneWithWork) {
  const auto a = create("a");
  const auto b = create("b");
  ASSERT_TRUE(manager.cleanupIdleLLMs());
  EXPECT_EQ(manager.getLLMCounts()["loaded"], 2U) << "300 s have not passed";
  ASSERT_TRUE(manager.setIdleUnloadSeconds(0));
  ASSERT_TRUE(b->suspend());
  auto waits = b->executeAsync(request_of("b", "Once"));
  ASSERT_TRUE(manager.cleanupIdleLLMs());
  EXPECT_FALSE(a->isModelLoaded());
  EXPECT_TRUE(b->isModelLoaded());
  EXPECT_EQ(manager.getExecutionMetrics()["llms_unloaded_idle"], 1);
  ASSERT_TRUE(b->resume());
  EXPECT_TRUE(waits.get().success);
  EXPECT_TRUE(manager.execute(request_of("a", "Once")).success) << "and is back when wanted";
}

TEST_F(Manager, OptimizesValidatesAndProfilesAll) {
  create("a");
  create("b");
  EXPECT_TRUE(manager.optimizeSystem()) << manager.lastError();
  EXPECT_EQ(manager.getSystemMetrics()["llms_optimized"], 2);
  EXPECT_TRUE(manager.validateSystem()) << manager.lastError();
  EXPECT_EQ(manager.getSystemMetrics()["validation_problems"], 0);
  ASSERT_TRUE(manager.enableSystemProfiling());
  manager.executeParallel(requests({"a", "b"}));
  EXPECT_EQ(manager.getSystemProfilingData()["profiled_requests"], 2);
  ASSERT_TRUE(manager.disableSystemProfiling());
  EXPECT_EQ(manager.getSystemProfilingData()["profiling"], 0);
}

TEST(GlobalSystem, IsOneAndItsConfigurationTakesEffect) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  EXPECT_EQ(&system, &GlobalParallelLLMExecutionSystem::getInstance());
  EXPECT_FALSE(system.isInitialized());
  EXPECT_EQ(system.getSystemConfiguration()["execution_policy"], "balanced") << "a default";
  EXPECT_FALSE(system.execute(request_of("a", "Once")).success);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(system.initialize()) << system.lastError();
    EXPECT_EQ(system.getSystemMetrics()["system_initialized"], 1);
    const std::map<std::string, std::string> configuration = {
        {"max_llms", "2"},           {"execution_policy", "optimized"},
        {"auto_cleanup", "enabled"}, {"auto_cleanup_interval_s", "0.01"},
        {"idle_unload_s", "0"},      {"profiling", "enabled"},
        {"my_own", "kept"}};
    ASSERT_TRUE(system.setSystemConfiguration(configuration)) << system.lastError();
    EXPECT_EQ(system.getSystemConfiguration(), configuration);
    EXPECT_EQ(system.getSystemMetrics()["configuration_items"], 7);
    const auto manager = system.getExecutionManager();
    EXPECT_EQ(manager->getMaxLLMs(), 2);
    EXPECT_EQ(manager->getExecutionPolicy(), "optimized");
    EXPECT_EQ(manager->getLoadBalancingStrategy(), "least_loaded") << "its default";
    EXPECT_EQ(manager->getSystemMetrics()["profiling"], 1);
    EXPECT_FALSE(system.setSystemConfiguration({{"max_llms", "many"}}));
    EXPECT_FALSE(system.setSystemConfiguration({{"execution_policy", "chaotic"}}));
    EXPECT_EQ(system.getSystemConfiguration(), configuration) << "nothing changed";

    const auto llm = advanced(system.createLLM(config_of("a")));
    ASSERT_NE(llm, nullptr) << system.lastError();
    while (llm->isModelLoaded()) std::this_thread::yield();  // the duty unloads it
    EXPECT_TRUE(system.execute(request_of("a", "Once")).success);
    EXPECT_EQ(system.executeParallel({request_of("a", "x"), request_of("b", "y")}).size(), 2U);
    EXPECT_EQ(system.getAllLLMs().size(), 1U);
    EXPECT_TRUE(system.executeAsync(request_of("a", "Once")).get().success);
    EXPECT_TRUE(system.destroyLLM("a"));
    EXPECT_EQ(system.getLLM("a"), nullptr);
    system.shutdown();
    EXPECT_FALSE(system.isInitialized());
    ASSERT_TRUE(system.setSystemConfiguration({}));
    EXPECT_TRUE(system.getSystemConfiguration().empty());
  }
}

}  // namespace
}  // namespace choir::parallel
