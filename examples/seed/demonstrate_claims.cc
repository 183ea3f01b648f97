// The four claims, one after the other: several models at once, requests spread over them,
// resources changed while they live, and the figures of the system.
//
//   example_seed_demonstrate_claims [MODEL]...     files or catalogue names, used in turn
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "parallel/parallel_llm_execution.h"

namespace {

std::string model_path(int argc, char** argv, int i) {
  if (argc > 1) return argv[1 + i % (argc - 1)];
  return i % 2 == 0 ? "smollm2-135m" : "gemma3-270m";
}

const char* word(bool done) { return done ? "SUCCESS" : "FAILED"; }

LLMExecutionConfig config_of(int number, const std::string& path) {
  LLMExecutionConfig config;
  config.llmId = "claim_llm_" + std::to_string(number);
  config.modelPath = path;
  config.modelType = "GPT";
  config.maxSequenceLength = 2048;
  config.batchSize = 4;
  config.mode = LLMExecutionMode::PARALLEL;
  config.priority = LLMPriority::NORMAL;
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  bool all_well = system.initialize();

  std::cout << "=== Claim 1: Parallel Execution ===" << std::endl;
  std::vector<LLMExecutionConfig> llmConfigs;
  for (int i = 0; i < 4; ++i) {
    const LLMExecutionConfig config = config_of(i + 1, model_path(argc, argv, i));
    auto llm = system.createLLM(config);
    if (llm) {
      std::cout << "✓ Created LLM: " << config.llmId << std::endl;
      llmConfigs.push_back(config);
    } else {
      std::cout << "✗ Failed to create LLM: " << config.llmId << std::endl;
    }
  }
  if (llmConfigs.size() != 4) return 1;

  std::cout << "\n=== Claim 2: Load Balancing ===" << std::endl;
  std::vector<LLMExecutionRequest> requests;
  for (std::size_t i = 0; i < 8; ++i) {
    LLMExecutionRequest request;
    request.requestId = "claim_request_" + std::to_string(i + 1);
    request.llmId = llmConfigs[i % llmConfigs.size()].llmId;
    request.inputText = "Hello, world " + std::to_string(i + 1) + "!";
    request.maxOutputLength = 100;
    request.temperature = 0.7F;
    request.topP = 0.9F;
    request.topK = 50;
    request.prompt = "You are a helpful assistant.";
    request.timeout = std::chrono::milliseconds(5000);
    requests.push_back(request);
  }
  auto responses = system.executeParallel(requests);
  for (std::size_t i = 0; i < responses.size(); ++i) {
    if (responses[i].success) {
      std::cout << "✓ Request " << i + 1 << " completed (LLM: " << responses[i].llmId
                << ", Latency: " << responses[i].latency
                << "s, Throughput: " << responses[i].throughput << " tokens/s)" << std::endl;
    } else {
      std::cout << "✗ Request " << i + 1 << " failed: " << responses[i].error << std::endl;
      all_well = false;
    }
  }

  std::cout << "\n=== Claim 3: Resource Optimization ===" << std::endl;
  for (const auto& config : llmConfigs) {
    auto advancedLLM = std::dynamic_pointer_cast<AdvancedLLMExecutor>(system.getLLM(config.llmId));
    if (!advancedLLM) return 1;
    bool optimized = advancedLLM->optimize();
    bool scaled = advancedLLM->scale(8, 4096);
    bool validated = advancedLLM->validateResources();
    all_well = all_well && optimized && scaled && validated;

    std::cout << "✓ LLM " << config.llmId << " optimization:" << std::endl;
    std::cout << "  Optimization: " << word(optimized) << std::endl;
    std::cout << "  Scaling: " << word(scaled) << std::endl;
    std::cout << "  Validation: " << word(validated) << std::endl;
  }

  std::cout << "\n=== Claim 4: Performance Monitoring ===" << std::endl;
  auto metrics = system.getSystemMetrics();
  std::cout << "✓ System performance metrics:" << std::endl;
  std::cout << "  Total LLMs: " << metrics["total_llms"] << std::endl;
  std::cout << "  Active requests: " << metrics["active_requests"] << std::endl;
  std::cout << "  Average utilization: " << metrics["average_utilization"] << std::endl;
  std::cout << "  System initialized: " << metrics["system_initialized"] << std::endl;
  std::cout << "  Configuration items: " << metrics["configuration_items"] << std::endl;
  all_well = all_well && metrics["total_llms"] == 4 && metrics["active_requests"] == 0 &&
             metrics["average_utilization"] > 0 && metrics["system_initialized"] == 1;

  // Cleanup
  for (const auto& config : llmConfigs) {
    all_well = system.destroyLLM(config.llmId) && all_well;
  }
  system.shutdown();
  return all_well ? 0 : 1;
}
