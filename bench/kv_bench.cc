// Decoding over long sequences with KV cells of q8_0, and with those of f16 beside it.
//
//   ./dev bench kv        needs smollm2-135m and gemma3-270m in the models folder
//
// Both engines stand on the same weights and pool and take turns; each row compares the fastest
// passes, because other programs only ever make a pass slower.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "base/check.h"
#include "base/machine.h"
#include "bench/engine/pass.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "engine/llama_engine.h"
#include "engine/llama_pool.h"

namespace choir::bench {
namespace {

constexpr int kTurns = 20;
constexpr int kBatch = 512;

struct Load {
  const char* model;
  int sequences;
  int context;  // tokens of each before the first pass
};

constexpr Load kLoads[] = {
    {"smollm2-135m", 32, 200},
    {"smollm2-135m", 32, 600},
    {"smollm2-135m", 1, 2000},
    {"gemma3-270m", 32, 600},
};

class Decoder {
 public:
  Decoder(const std::shared_ptr<const LlamaModel>& model, const Load& load, KvType type,
          LlamaPool& pool)
      : load_(load),
        engine_(LlamaEngine::create(
                    model, {.context_tokens = load.sequences * (load.context + kTurns + 8) + kBatch,
                            .sequences_max = load.sequences,
                            .batch_tokens_max = kBatch,
                            .kv_type = type})
                    .value()) {
    engine_->attach(pool);
    const std::vector<TokenId> text = any_text(kBatch);
    for (int at = 0; at < load.context; at += kBatch)
      compute_pass(
          *engine_, 0, 1,
          std::span(text).first(static_cast<std::size_t>(std::min(kBatch, load.context - at))));
    // The others have the same cells, in memory of their own.
    const std::string state = engine_->save(sequence_id(0)).value();
    for (int s = 1; s < load.sequences; ++s)
      CHOIR_CHECK(engine_->restore(sequence_id(s), state).has_value(), "there is room for all");
  }
  ~Decoder() { engine_->detach(); }

  double seconds() {
    const auto began = std::chrono::steady_clock::now();
    compute_pass(*engine_, 0, load_.sequences, one_);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }

 private:
  Load load_;
  std::vector<TokenId> one_ = any_text(1);
  std::unique_ptr<LlamaEngine> engine_;
};

int run(const Arguments& arguments) {
  std::vector<int> cores(static_cast<std::size_t>(read_machine().cores), -1);
  LlamaPool pool(cores);
  std::vector<Row> rows;
  for (const Load& load : kLoads) {
    const auto path = resolve_model(load.model);
    if (!path) {
      std::fprintf(stderr, "bench kv: %s\n", path.error().message.c_str());
      return 1;
    }
    const auto model = LlamaModel::open(*path, LlamaModel::Load::kWeights, "bench").value();
    Decoder halves(model, load, KvType::kF16, pool);
    Decoder blocks(model, load, KvType::kQ80, pool);
    double best_halves = 1e9;
    double best_blocks = 1e9;
    for (int turn = 0; turn < kTurns; ++turn) {
      best_halves = std::min(best_halves, halves.seconds());
      best_blocks = std::min(best_blocks, blocks.seconds());
    }
    rows.push_back({.name = std::string(load.model) + " decode " + std::to_string(load.sequences) +
                            " x " + std::to_string(load.context),
                    .unit = "tok/s",
                    .choir = load.sequences / best_blocks,
                    .peer = load.sequences / best_halves,
                    .peer_name = "f16",
                    .goal = {}});
  }
  return finish("kv", rows, arguments);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  return choir::bench::run(choir::bench::parse(argc, argv, "Decoding with KV of q8_0 and of f16"));
}
