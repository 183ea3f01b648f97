// What the tests of parallel/parallel_llm_execution.h share: models, configurations, requests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "parallel/parallel_llm_execution.h"
#include "tests/real_models.h"

namespace choir::parallel {

inline LLMExecutionConfig config_of(const std::string& id, const std::string& model = stories()) {
  LLMExecutionConfig config;
  config.llmId = id;
  config.modelPath = model;
  config.maxSequenceLength = 256;
  config.batchSize = 4;
  return config;
}

inline LLMExecutionRequest request_of(const std::string& id, const std::string& text,
                                      std::size_t tokens = 12) {
  LLMExecutionRequest request;
  request.llmId = id;
  request.inputText = text;
  request.maxOutputLength = tokens;
  request.temperature = 0;
  request.parameters["ignore_eos"] = "true";
  return request;
}

inline std::shared_ptr<AdvancedLLMExecutor> advanced(const std::shared_ptr<LLMExecutor>& llm) {
  return std::dynamic_pointer_cast<AdvancedLLMExecutor>(llm);
}

// Keeps the weights of every model that a test has met open until the end: the next test's own
// executor then loads in no time.
class KeepWeights : public testing::Environment {
 public:
  static void of(const std::string& model) {
    auto& keeper = keepers()[model];
    if (keeper) return;
    LLMExecutionConfig config = config_of("keeper", model);
    config.batchSize = 1;
    config.maxSequenceLength = 32;
    config.parameters["pinned"] = "true";
    keeper = std::make_unique<AdvancedLLMExecutor>(config);
    ASSERT_TRUE(keeper->initialize()) << keeper->lastError();
  }
  void TearDown() override { keepers().clear(); }

 private:
  static std::map<std::string, std::unique_ptr<AdvancedLLMExecutor>>& keepers() {
    static std::map<std::string, std::unique_ptr<AdvancedLLMExecutor>> keepers;
    return keepers;
  }
};

// One manager, and an executor "a" of each model in turn.
class OnEachModel : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    KeepWeights::of(GetParam());
    ASSERT_TRUE(manager.initialize()) << manager.lastError();
    promised_before = manager.getSystemMetrics()["memory_bytes_promised"];
    a = create("a");
    ASSERT_NE(a, nullptr) << manager.lastError();
  }
  std::shared_ptr<AdvancedLLMExecutor> create(const std::string& id) {
    return advanced(manager.createLLM(config_of(id, GetParam())));
  }

  ParallelLLMExecutionManager manager;
  double promised_before = 0;
  std::shared_ptr<AdvancedLLMExecutor> a;
};

inline std::string model_name(const testing::TestParamInfo<std::string>& info) {
  if (info.param == stories()) return "Stories";
  return info.param == smollm2() ? "SmolLM2" : "Gemma";
}

}  // namespace choir::parallel
