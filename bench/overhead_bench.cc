// What the runtime costs: Choir beside a bare loop that does nothing but decode, on the same
// engine, the same four files, the same two lanes of one thread (or as many as there are cores).
//
//   ./dev bench overhead        needs smollm2-135m in the models folder
//
// Five alternating pairs; the row is the ratio of the medians. Under 5 % is noise here. The bare
// loop samples nothing: it feeds a fixed token, so what sampling and text cost counts against
// Choir.
#include <llama.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <thread>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "choir/machine.h"
#include "choir/node.h"
#include "engine/llama_engine.h"
#include "engine/llama_pool.h"

namespace choir::bench {
namespace {

constexpr int kModels = 4;
constexpr int kTokens = 64;
constexpr int kPairs = 5;
constexpr const char* kPrompt = "The sea was calm that morning, and the old lighthouse keeper";

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// Lane i decodes contexts i, i + lanes, ... in turn, each with a batch of `requests`.
double bare_loop(const std::vector<std::string>& files, int requests, int lanes) {
  struct Lane {
    std::vector<std::unique_ptr<LlamaEngine>> engines;
    std::vector<std::vector<TokenId>> prompts;
  };
  std::vector<Lane> all(static_cast<std::size_t>(lanes));
  for (int m = 0; m < kModels; ++m) {
    auto model =
        LlamaModel::open(files[static_cast<std::size_t>(m)], LlamaModel::Load::kWeights, "bare")
            .value();
    Lane& lane = all[static_cast<std::size_t>(m % lanes)];
    lane.prompts.push_back(model->tokenize(kPrompt, Model::Special::kParse).value());
    lane.engines.push_back(
        LlamaEngine::create(model,
                            {.context_tokens = 2048, .sequences_max = 8, .batch_tokens_max = 512})
            .value());
  }
  const auto work = [](Lane& lane, int requests_each) {
    const SteadyClock clock;
    const AbortSignal never(clock);
    const std::array<int, 1> mine = {-1};
    LlamaPool pool(mine);
    for (int step = 0; step < kTokens; ++step)
      for (std::size_t e = 0; e < lane.engines.size(); ++e) {
        LlamaEngine& engine = *lane.engines[e];
        const std::vector<TokenId> one = {lane.prompts[e].back()};
        const std::vector<TokenId>& tokens = step == 0 ? lane.prompts[e] : one;
        StepPlan plan;
        std::vector<std::span<const TokenId>> spans;
        for (int r = 0; r < requests_each; ++r) {
          const SeqId seq{static_cast<std::uint64_t>(r + 1)};
          plan.slices.push_back(
              {seq, engine.computed(seq), static_cast<std::int32_t>(tokens.size()), true});
          spans.emplace_back(tokens);
        }
        engine.attach(pool);
        CHOIR_CHECK(engine.run(plan, spans, never) == RunOutcome::kDone, "the bare loop decodes");
        engine.detach();
      }
  };
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < lanes; ++i)
    threads.emplace_back([&, i] { work(all[static_cast<std::size_t>(i)], requests); });
  for (std::thread& thread : threads) thread.join();
  return kModels * requests * kTokens / seconds_since(began);
}

double choir_node(const std::vector<std::string>& files, int requests) {
  auto node = Node::create({}).value();
  for (int m = 0; m < kModels; ++m) {
    ExecutorConfig config;
    config.name = "m" + std::to_string(m);
    config.path = files[static_cast<std::size_t>(m)];
    config.context_tokens = 2048;
    config.sequences_max = 8;
    config.prefix_cache = false;  // the bare loop has none
    const Status added = node->add(config);
    CHOIR_CHECK(added.has_value(), "four small models fit");
  }
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::future<Completion>> futures;
  for (int r = 0; r < requests; ++r)
    for (int m = 0; m < kModels; ++m) {
      Request request;
      request.executor = "m" + std::to_string(m);
      request.text = kPrompt;
      request.max_tokens = kTokens;
      request.ignore_eos = true;
      request.sampling.seed = static_cast<std::uint64_t>(r);
      futures.push_back(std::move(node->submit(request).value().result));
    }
  std::size_t tokens = 0;
  for (auto& future : futures) tokens += future.get().tokens.size();
  return static_cast<double>(tokens) / seconds_since(began);
}

int run(const Arguments& arguments) {
  const auto source = resolve_model("smollm2-135m");
  if (!source) {
    std::fprintf(stderr, "bench overhead: %s\n", source.error().message.c_str());
    return 1;
  }
  const auto folder =
      std::filesystem::temp_directory_path() / ("choir-overhead-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::vector<std::string> files;
  for (int m = 0; m < kModels; ++m) {
    files.push_back((folder / ("model-" + std::to_string(m) + ".gguf")).string());
    std::filesystem::copy_file(*source, files.back(),
                               std::filesystem::copy_options::overwrite_existing);
  }
  const int lanes = std::min(kModels, read_machine().cores);
  std::vector<Row> rows;
  for (const int requests : {2, 8}) {
    std::vector<double> ours;
    std::vector<double> bare;
    for (int pair = 0; pair < kPairs; ++pair) {
      bare.push_back(bare_loop(files, requests, lanes));
      ours.push_back(choir_node(files, requests));
      std::fprintf(stderr, "4 models x %d, pair %d: choir %.1f, bare loop %.1f tok/s\n", requests,
                   pair + 1, ours.back(), bare.back());
    }
    char spread[64];
    std::snprintf(spread, sizeof(spread), " (spread %.0f %% / %.0f %%)",
                  100 * (quantile(ours, 1) - quantile(ours, 0)) / median(ours),
                  100 * (quantile(bare, 1) - quantile(bare, 0)) / median(bare));
    rows.push_back({.name = "4 models x " + std::to_string(requests) + " requests" + spread,
                    .unit = "tok/s",
                    .choir = median(ours),
                    .peer = median(bare),
                    .peer_name = "bare decode loop",
                    .goal = 0.9});
  }
  std::filesystem::remove_all(folder);
  return finish("overhead", rows, arguments);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  return choir::bench::run(
      choir::bench::parse(argc, argv, "Choir beside a bare decode loop on the same engine"));
}
