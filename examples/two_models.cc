// Two models generate at the same time in one process.
//
//   example_two_models MODEL.gguf [OTHER.gguf]
#include <cstdio>
#include <string>
#include <vector>

#include "choir/node.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s MODEL.gguf [OTHER.gguf]\n", argv[0]);
    return 2;
  }
  auto node = choir::Node::create({});
  if (!node) {
    std::fprintf(stderr, "%s\n", node.error().message.c_str());
    return 1;
  }
  const std::vector<std::string> names = {"first", "second"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    choir::ExecutorConfig config;
    config.name = names[i];
    config.path = argv[argc > 2 ? 1 + i : 1];
    if (choir::Status added = (*node)->add(config); !added) {
      std::fprintf(stderr, "%s\n", added.error().message.c_str());
      return 1;
    }
  }

  std::vector<choir::Submission> running;
  for (const std::string& name : names) {
    choir::Request request;
    request.executor = name;
    request.text = "Once upon a time";
    request.max_tokens = 32;
    auto submission = (*node)->submit(request);
    if (!submission) {
      std::fprintf(stderr, "%s\n", submission.error().message.c_str());
      return 1;
    }
    running.push_back(std::move(*submission));
  }
  for (choir::Submission& submission : running) {
    const choir::Completion completion = submission.result.get();
    std::printf("%s (%d tokens): %s\n", completion.executor.c_str(), completion.usage.output_tokens,
                completion.text.c_str());
  }
  return 0;
}
