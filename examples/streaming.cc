// Text as it comes, a stop after the first sentence, and a cancel from inside a callback.
//
//   example_streaming MODEL.gguf
#include <cstdio>

#include "choir/node.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s MODEL.gguf\n", argv[0]);
    return 2;
  }
  auto node = choir::Node::create({});
  if (!node) {
    std::fprintf(stderr, "%s\n", node.error().message.c_str());
    return 1;
  }
  choir::ExecutorConfig config;
  config.name = "model";
  config.path = argv[1];
  if (choir::Status added = (*node)->add(config); !added) {
    std::fprintf(stderr, "%s\n", added.error().message.c_str());
    return 1;
  }

  choir::Request request;
  request.text = "Once upon a time";
  request.max_tokens = 200;
  request.stop = {"."};
  choir::Callbacks callbacks;
  // Callbacks run on the node's own threads, never on one that computes: they may take their time.
  callbacks.on_event = [&](const choir::StreamEvent& event) {
    std::printf("%.*s", static_cast<int>(event.text.size()), event.text.data());
    std::fflush(stdout);
    if (event.output_tokens > 100) (void)(*node)->cancel(event.id);
  };
  auto submission = (*node)->submit(request, callbacks);
  if (!submission) {
    std::fprintf(stderr, "%s\n", submission.error().message.c_str());
    return 1;
  }
  const choir::Completion completion = submission->result.get();
  std::printf("\n-- ended by %s after %.2f s, first token after %.3f s\n",
              std::string(to_string(completion.finish)).c_str(), completion.usage.total_seconds,
              completion.usage.first_token_seconds);
  return 0;
}
