// One executor through its whole life: suspend, move to another node, copy, grow, optimize, unload.
//
//   example_seed_advanced_management [MODEL]     a file or a catalogue name
#include <iostream>
#include <memory>
#include <string>

#include "parallel/parallel_llm_execution.h"

namespace {

int failures = 0;

void expect(bool well, const std::string& what, const std::string& why) {
  if (well) {
    std::cout << "  ok: " << what << std::endl;
    return;
  }
  std::cout << "  NOT: " << what << ": " << why << std::endl;
  ++failures;
}

}  // namespace

int main(int argc, char** argv) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  if (!system.initialize()) return 1;
  // A node must be there before an executor can move to it.
  if (!system.registerNode("target_node_1")) return 1;

  // Create advanced LLM
  LLMExecutionConfig config;
  config.llmId = "advanced_llm";
  config.modelPath = argc > 1 ? argv[1] : "smollm2-135m";
  config.modelType = "GPT";
  config.maxSequenceLength = 4096;
  config.batchSize = 8;
  config.learningRate = 0.0005F;
  config.mode = LLMExecutionMode::PARALLEL;
  config.priority = LLMPriority::HIGH;
  config.createdAt = std::chrono::system_clock::now();
  config.lastUsed = std::chrono::system_clock::now();

  auto llm = system.createLLM(config);
  if (!llm) {
    std::cerr << "Advanced LLM should be created: " << system.lastError() << std::endl;
    return 1;
  }

  // Cast to advanced LLM
  auto advancedLLM = std::dynamic_pointer_cast<AdvancedLLMExecutor>(llm);
  if (!advancedLLM) {
    std::cerr << "LLM should be an advanced LLM" << std::endl;
    return 1;
  }
  const auto expect_true = [&](bool well, const char* what) {
    expect(well, what, advancedLLM->lastError());
  };

  // Test advanced features
  std::cout << "Testing advanced LLM features..." << std::endl;

  // Test LLM lifecycle
  expect_true(advancedLLM->suspend(), "LLM suspension should succeed");
  expect_true(advancedLLM->resume(), "LLM resumption should succeed");
  expect_true(advancedLLM->migrate("target_node_1"), "LLM migration should succeed");
  expect_true(advancedLLM->clone("advanced_llm_clone"), "LLM cloning should succeed");
  expect_true(advancedLLM->scale(16, 8192), "LLM scaling should succeed");
  expect_true(advancedLLM->optimize(), "LLM optimization should succeed");

  // Test resource management
  auto resourceInfo = advancedLLM->getResourceInfo();
  expect_true(!resourceInfo.empty(), "Resource info should not be empty");
  expect_true(resourceInfo["llm_id"] == config.llmId, "LLM ID should match");
  expect_true(resourceInfo["model_type"] == config.modelType, "Model type should match");
  expect_true(resourceInfo["node"] == "target_node_1", "Node should be the target");
  expect_true(resourceInfo["batch_size"] == "16", "Batch size should be the scaled one");
  expect_true(system.getLLM("advanced_llm_clone") != nullptr, "The clone should be there");

  // Test resource validation
  expect_true(advancedLLM->validateResources(), "Resource validation should pass");

  // Test model management
  expect_true(advancedLLM->preloadModel(), "Model preloading should succeed");
  expect_true(advancedLLM->isModelLoaded(), "Model should be loaded");
  expect_true(advancedLLM->unloadModel(), "Model unloading should succeed");
  expect_true(!advancedLLM->isModelLoaded(), "Model should not be loaded any more");

  if (failures == 0) std::cout << "Advanced LLM features tested successfully" << std::endl;

  // Cleanup
  expect(system.destroyLLM(config.llmId), "The LLM should be destroyed", system.lastError());
  system.shutdown();
  return failures == 0 ? 0 : 1;
}
