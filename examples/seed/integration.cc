// The system as a whole: one request, four at once, the metrics, and the end.
//
//   example_seed_integration [MODEL]     a file or a catalogue name
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "parallel/parallel_llm_execution.h"

namespace {

// In place of assert(), which a release build leaves out.
void require(bool well, const std::string& otherwise) {
  if (well) return;
  std::cerr << otherwise << std::endl;
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  require(system.initialize(), "System initialization failed: " + system.lastError());

  // Test LLM creation
  LLMExecutionConfig config;
  config.llmId = "test_llm";
  config.modelPath = argc > 1 ? argv[1] : "smollm2-135m";
  config.modelType = "GPT";
  config.maxSequenceLength = 2048;
  config.batchSize = 4;
  config.learningRate = 0.001F;
  config.mode = LLMExecutionMode::PARALLEL;
  config.priority = LLMPriority::NORMAL;
  config.createdAt = std::chrono::system_clock::now();
  config.lastUsed = std::chrono::system_clock::now();

  auto llm = system.createLLM(config);
  require(llm != nullptr, "LLM creation failed: " + system.lastError());

  // Test execution
  LLMExecutionRequest request;
  request.requestId = "test_request";
  request.llmId = config.llmId;
  request.inputText = "Hello, world!";
  request.maxOutputLength = 100;
  request.temperature = 0.7F;
  request.topP = 0.9F;
  request.topK = 50;
  request.streamOutput = false;
  request.prompt = "You are a helpful assistant.";
  request.timeout = std::chrono::milliseconds(5000);
  request.createdAt = std::chrono::system_clock::now();

  auto response = system.execute(request);
  require(response.success, "Execution failed: " + response.error);
  require(!response.outputText.empty(), "No output text");
  require(response.latency > 0.0F, "Invalid latency");
  require(response.throughput > 0.0F, "Invalid throughput");
  std::cout << "One request: " << response.outputText << std::endl;

  // Test parallel execution
  std::vector<LLMExecutionRequest> requests;
  for (int i = 0; i < 4; ++i) {
    LLMExecutionRequest req = request;
    req.requestId = "test_request_" + std::to_string(i + 1);
    req.inputText = "Hello, world " + std::to_string(i + 1) + "!";
    requests.push_back(req);
  }

  auto responses = system.executeParallel(requests);
  require(responses.size() == requests.size(), "Response count mismatch");

  for (const auto& resp : responses) {
    require(resp.success, "Parallel execution failed: " + resp.error);
    require(!resp.outputText.empty(), "No output text");
    require(resp.latency > 0.0F, "Invalid latency");
    require(resp.throughput > 0.0F, "Invalid throughput");
    std::cout << resp.requestId << ": " << resp.outputText << std::endl;
  }

  // Test system metrics
  auto metrics = system.getSystemMetrics();
  require(!metrics.empty(), "No system metrics");
  require(metrics["total_llms"] > 0.0, "No LLMs found");
  require(metrics["system_initialized"] == 1.0, "System not initialized");

  // Cleanup
  require(system.destroyLLM(config.llmId), "The LLM could not be destroyed");
  system.shutdown();
  std::cout << "System integration passed" << std::endl;
  return 0;
}
