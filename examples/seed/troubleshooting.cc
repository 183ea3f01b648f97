// What to look at when something does not work, each time before and after it is put right.
//
//   example_seed_troubleshooting [MODEL]     a file or a catalogue name
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "parallel/parallel_llm_execution.h"

namespace {

auto& the_system() { return GlobalParallelLLMExecutionSystem::getInstance(); }

// Each says what is wrong, and whether it said something.
bool say(bool wrong, const char* what) {
  if (wrong) std::cout << what << std::endl;
  return wrong;
}

bool creation_failed() { return say(!the_system().isInitialized(), "System not initialized"); }

bool execution_failed() {
  auto llm = the_system().getLLM("llm_id");
  return say(llm && llm->getStatus() != LLMExecutionStatus::READY, "LLM not ready");
}

bool parallel_execution_failed() {
  auto allLLMs = the_system().getAllLLMs();
  return say(allLLMs.empty(), "No LLMs available");
}

bool performance_issues() {
  auto llm = the_system().getLLM("llm_id");
  return say(llm && llm->getUtilization() > 0.9F, "LLM is overloaded");
}

// The first thing that is not as it should be, or nullptr.
const char* problem(const std::string& model) {
  auto& system = the_system();
  if (!creation_failed()) return "a system that was never initialized is not";
  if (!system.initialize() || creation_failed()) return "the system should be initialized";

  if (!parallel_execution_failed()) return "nobody has created an LLM yet";
  LLMExecutionConfig config;
  config.llmId = "llm_id";
  config.modelPath = model;
  if (!system.createLLM(config)) return "the LLM should be created";
  if (parallel_execution_failed()) return "an LLM should be available";

  auto advancedLLM = std::dynamic_pointer_cast<AdvancedLLMExecutor>(system.getLLM("llm_id"));
  if (!advancedLLM || !advancedLLM->suspend()) return "the LLM should be suspended";
  if (!execution_failed()) return "a suspended LLM is not ready";
  if (!advancedLLM->resume() || execution_failed()) return "the LLM should be ready";
  if (performance_issues()) return "an LLM without work is not overloaded";

  // Enable profiling
  auto llm = system.getLLM("llm_id");
  llm->enableProfiling();
  LLMExecutionRequest request;
  request.llmId = "llm_id";
  request.inputText = "Once upon a time";
  request.maxOutputLength = 20;
  if (!system.execute(request).success) return "the request should succeed";
  auto profilingData = llm->getProfilingData();
  for (const char* stage : {"queue_seconds", "prefill_seconds", "decode_seconds"})
    std::cout << "  " << stage << ": " << profilingData[stage] << std::endl;
  if (profilingData["profiled_requests"] != 1) return "one request should be profiled";

  // Run diagnostics
  auto executionManager = system.getExecutionManager();
  if (!executionManager) return "the system has a manager";
  bool validated = executionManager->validateSystem();
  if (say(!validated, "System validation failed")) return "the system should be valid";
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  // Enable debug logging. The level is Choir's own, and the environment sets it.
  setenv("CHOIR_LOG", "debug", 0);

  const char* const wrong = problem(argc > 1 ? argv[1] : "smollm2-135m");
  if (wrong != nullptr) std::cerr << "not as it should be: " << wrong << std::endl;
  the_system().shutdown();
  if (wrong == nullptr) std::cout << "Nothing is wrong" << std::endl;
  return wrong == nullptr ? 0 : 1;
}
