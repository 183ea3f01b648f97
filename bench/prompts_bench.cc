// What a chat prompt costs before it is computed: its template rendered and its text tokenized, on
// the thread that submits it.
//
//   ./dev bench prompts        needs smollm2-135m and gemma3-270m in the models folder
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "engine/llama_model.h"

namespace choir::bench {
namespace {

constexpr int kRuns = 201;

template <class Work>
double median_microseconds(const Work& work) {
  std::vector<double> runs;
  for (int run = 0; run < kRuns; ++run) {
    const auto began = std::chrono::steady_clock::now();
    work();
    runs.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began)
            .count());
  }
  return median(runs);
}

int run(const Arguments& arguments) {
  const std::vector<Message> messages = {
      {"system", "You are a helpful assistant. Answer in one sentence."},
      {"user", "Why is the sky blue in the day and red in the evening, and is it so everywhere?"}};
  std::vector<Row> rows;
  for (const char* name : {"smollm2-135m", "gemma3-270m"}) {
    const auto path = resolve_model(name);
    if (!path) {
      std::fprintf(stderr, "bench prompts: %s\n", path.error().message.c_str());
      return 1;
    }
    const auto model = LlamaModel::open(*path, LlamaModel::Load::kVocabulary, "bench").value();
    const auto render = [&] { return model->render(messages, Contents::kText).value().text; };
    const std::string text = render();
    const auto tokenize = [&](const std::string& prompt) {
      return model->tokenize(prompt, Model::Special::kParse).value().size();
    };
    const std::size_t tokens = tokenize(text);
    const std::string what =
        std::string(name) + ", chat prompt of " + std::to_string(tokens) + " tokens, ";
    rows.push_back(
        {.name = what + "rendered",
         .unit = "us",
         .choir = median_microseconds([&] { CHOIR_CHECK(render() == text, "the same"); }),
         .peer = {},
         .peer_name = "",
         .goal = {},
         .better = Better::kLower});
    rows.push_back({.name = what + "rendered and tokenized",
                    .unit = "us",
                    .choir = median_microseconds(
                        [&] { CHOIR_CHECK(tokenize(render()) == tokens, "the same"); }),
                    .peer = {},
                    .peer_name = "",
                    .goal = 100.0,
                    .better = Better::kLower});
  }
  return finish("prompts", rows, arguments);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  return choir::bench::run(choir::bench::parse(argc, argv, "Rendering and tokenizing a prompt"));
}
