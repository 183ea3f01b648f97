// Several sessions of one model at once, each with its own KV cache and seed, and their report.
//
//   example_parallel_evaluation MODEL.gguf
#include <cstdio>

#include "choir/parallel_evaluation.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s MODEL.gguf\n", argv[0]);
    return 2;
  }
  choir::ParallelConfig config;
  choir::ParallelModel model;
  model.path = argv[1];
  config.models = {model};
  config.sessions = 3;
  config.prompts = {"Write a haiku about AI.", "Explain neural networks simply.",
                    "What is machine learning?"};
  config.max_tokens = 40;
  config.temperature = 0.7F;

  auto evaluation = choir::ParallelEvaluation::create(config);
  if (!evaluation) {
    std::fprintf(stderr, "%s\n", evaluation.error().message.c_str());
    return 1;
  }
  const auto report = (*evaluation)->run();
  if (!report) {
    std::fprintf(stderr, "%s\n", report.error().message.c_str());
    return 1;
  }
  std::fputs(choir::render(*report, (*evaluation)->config()).c_str(), stdout);
  return 0;
}
