// One forward pass on all cores, with operations fused (src/kernels/fusion.h) and one by one.
//
//   ./dev bench passes        needs smollm2-135m and gemma3-270m in the models folder
//
// Both sides take turns on the same engine; each row compares the fastest passes, because other
// programs only ever make a pass slower.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/machine.h"
#include "bench/engine/pass.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "engine/llama_engine.h"
#include "engine/llama_pool.h"
#include "kernels/graph_hook.h"

namespace choir::bench {
namespace {

constexpr int kTurns = 25;

struct Load {
  const char* model;
  int sequences;
  int tokens;  // of each in one pass; 1: decode behind a prompt
  int prompt;
};

constexpr Load kLoads[] = {
    {"smollm2-135m", 1, 1, 70},  {"smollm2-135m", 8, 1, 70},  {"smollm2-135m", 32, 1, 70},
    {"smollm2-135m", 64, 1, 70}, {"smollm2-135m", 1, 256, 0}, {"smollm2-135m", 12, 40, 0},
    {"gemma3-270m", 1, 1, 70},   {"gemma3-270m", 32, 1, 70},  {"gemma3-270m", 1, 256, 0},
};

class Passes {
 public:
  Passes(const std::shared_ptr<const LlamaModel>& model, const Load& load, LlamaPool& pool)
      : load_(load),
        text_(any_text(load.tokens)),
        engine_(LlamaEngine::create(
                    model, {.context_tokens =
                                load.sequences * (load.prompt + load.tokens + 2 * kTurns + 8) + 256,
                            .sequences_max = load.sequences,
                            .batch_tokens_max = std::max(512, load.sequences * load.tokens)})
                    .value()) {
    engine_->attach(pool);
    if (load.prompt > 0)
      for (int s = 0; s < load.sequences; ++s) compute_pass(*engine_, s, 1, any_text(load.prompt));
  }
  ~Passes() { engine_->detach(); }

  double seconds() {
    if (load_.prompt == 0)
      for (int s = 0; s < load_.sequences; ++s) engine_->truncate(sequence_id(s), 0);
    const auto began = std::chrono::steady_clock::now();
    compute_pass(*engine_, 0, load_.sequences, text_);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }

 private:
  Load load_;
  std::vector<TokenId> text_;
  std::unique_ptr<LlamaEngine> engine_;
};

int run(const Arguments& arguments) {
  std::vector<int> cores(static_cast<std::size_t>(read_machine().cores), -1);
  LlamaPool pool(cores);
  std::vector<Row> rows;
  for (const Load& load : kLoads) {
    const auto path = resolve_model(load.model);
    if (!path) {
      std::fprintf(stderr, "bench passes: %s\n", path.error().message.c_str());
      return 1;
    }
    Passes passes(LlamaModel::open(*path, LlamaModel::Load::kWeights, "bench").value(), load, pool);
    double best[2] = {1e9, 1e9};
    for (int turn = 0; turn < kTurns; ++turn)
      for (const bool fused : {false, true}) {
        kernels::set_fusing(fused);
        best[fused ? 1 : 0] = std::min(best[fused ? 1 : 0], passes.seconds());
      }
    const double tokens = load.sequences * load.tokens;
    rows.push_back({.name = std::string(load.model) + (load.tokens > 1 ? " prefill " : " decode ") +
                            std::to_string(load.sequences) + " x " + std::to_string(load.tokens),
                    .unit = "tok/s",
                    .choir = tokens / best[1],
                    .peer = tokens / best[0],
                    .peer_name = "one by one",
                    .goal = 1.0});
  }
  return finish("passes", rows, arguments);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  return choir::bench::run(choir::bench::parse(argc, argv, "A forward pass, fused and one by one"));
}
