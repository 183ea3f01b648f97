// Four models in one system, one request to each at the same time, and what the system counted.
//
//   example_seed_system_setup [MODEL]...     files or catalogue names, used in turn
#include <iostream>
#include <string>
#include <vector>

#include "parallel/parallel_llm_execution.h"

namespace {

std::string model_path(int argc, char** argv, int i) {
  if (argc > 1) return argv[1 + i % (argc - 1)];
  return i % 2 == 0 ? "smollm2-135m" : "gemma3-270m";
}

}  // namespace

int main(int argc, char** argv) {
  // Initialize the global system
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  if (!system.initialize()) {
    std::cerr << "Failed to initialize parallel LLM execution system: " << system.lastError()
              << std::endl;
    return 1;
  }

  // Create multiple LLMs
  std::vector<std::string> llmIds;
  for (int i = 0; i < 4; ++i) {
    LLMExecutionConfig config;
    config.llmId = "llm_" + std::to_string(i + 1);
    config.modelPath = model_path(argc, argv, i);
    config.modelType = "GPT";
    config.maxSequenceLength = 2048;
    config.batchSize = 4;
    config.learningRate = 0.001F;
    config.mode = LLMExecutionMode::PARALLEL;
    config.priority = LLMPriority::NORMAL;
    config.createdAt = std::chrono::system_clock::now();
    config.lastUsed = std::chrono::system_clock::now();

    auto llm = system.createLLM(config);
    if (llm) {
      llmIds.push_back(config.llmId);
      std::cout << "Created LLM: " << config.llmId << std::endl;
    }
  }
  if (llmIds.size() != 4) {
    std::cerr << "Not all LLMs could be created: " << system.lastError() << std::endl;
    return 1;
  }

  // Create parallel execution requests
  std::vector<LLMExecutionRequest> requests;
  for (std::size_t i = 0; i < 4; ++i) {
    LLMExecutionRequest request;
    request.requestId = "request_" + std::to_string(i + 1);
    request.llmId = llmIds[i];
    request.inputText = "Hello, world " + std::to_string(i + 1) + "!";
    request.maxOutputLength = 100;
    request.temperature = 0.7F;
    request.topP = 0.9F;
    request.topK = 50;
    request.streamOutput = false;
    request.prompt = "You are a helpful assistant.";
    request.timeout = std::chrono::milliseconds(5000);
    request.createdAt = std::chrono::system_clock::now();

    requests.push_back(request);
  }

  // Execute requests in parallel
  auto responses = system.executeParallel(requests);

  // Process responses
  bool all_well = responses.size() == requests.size();
  for (std::size_t i = 0; i < responses.size(); ++i) {
    if (responses[i].success) {
      std::cout << "Request " << i + 1 << " completed: " << responses[i].outputText << std::endl;
    } else {
      std::cout << "Request " << i + 1 << " failed: " << responses[i].error << std::endl;
      all_well = false;
    }
  }

  // Get system metrics
  auto metrics = system.getSystemMetrics();
  std::cout << "System metrics:" << std::endl;
  for (const auto& metric : metrics) {
    std::cout << "  " << metric.first << ": " << metric.second << std::endl;
  }
  all_well = all_well && metrics["total_llms"] == 4 && metrics["requests_completed"] == 4;

  // Cleanup
  for (const auto& llmId : llmIds) {
    all_well = system.destroyLLM(llmId) && all_well;
  }

  system.shutdown();
  return all_well ? 0 : 1;
}
