// What a manager does for all its executors: optimize, spread queues, unload the idle, validate.
//
//   example_seed_optimize_system [MODEL]...     files or catalogue names, one executor for each
#include <iostream>
#include <string>
#include <vector>

#include "parallel/parallel_llm_execution.h"

int main(int argc, char** argv) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  if (!system.initialize()) return 1;

  std::vector<std::string> paths(argv + 1, argv + argc);
  if (paths.empty()) paths = {"smollm2-135m", "gemma3-270m"};
  for (std::size_t i = 0; i < paths.size(); ++i) {
    LLMExecutionConfig config;
    config.llmId = "llm_" + std::to_string(i + 1);
    config.modelPath = paths[i];
    if (!system.createLLM(config)) {
      std::cerr << system.lastError() << std::endl;
      return 1;
    }
  }

  bool all_well = false;
  auto executionManager = system.getExecutionManager();
  if (executionManager) {
    // Optimize system
    bool optimized = executionManager->optimizeSystem();
    if (optimized) {
      std::cout << "System optimization completed" << std::endl;
    }

    // Balance load
    bool balanced = executionManager->balanceLoad();
    if (balanced) {
      std::cout << "Load balancing completed" << std::endl;
    }

    // Cleanup idle LLMs
    bool cleaned = executionManager->cleanupIdleLLMs();
    if (cleaned) {
      std::cout << "Idle LLM cleanup completed" << std::endl;
    }

    // Validate system
    bool validated = executionManager->validateSystem();
    if (validated) {
      std::cout << "System validation passed" << std::endl;
    }

    // Get system metrics
    auto metrics = executionManager->getSystemMetrics();
    std::cout << "System metrics:" << std::endl;
    for (const auto& metric : metrics) {
      std::cout << "  " << metric.first << ": " << metric.second << std::endl;
    }
    all_well = optimized && balanced && cleaned && validated &&
               metrics["llms_optimized"] == static_cast<double>(paths.size()) &&
               metrics["validation_problems"] == 0;
    if (!all_well) std::cerr << executionManager->lastError() << std::endl;
  }

  system.shutdown();
  return all_well ? 0 : 1;
}
