// How well a model predicts a text must not suffer from our kernels: the same file, computed by
// them and by the engine's own, in a process each, because the choice is made once.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/llama_engine.h"
#include "engine/llama_model.h"
#include "engine/llama_pool.h"
#include "kernels/kernel_table.h"
#include "real_models.h"

namespace choir {
namespace {

constexpr const char* kModelVariable = "CHOIR_TEST_PERPLEXITY_OF";
constexpr std::size_t kTokens = 384;

std::string text() {
  const char* repository = std::getenv("CHOIR_REPO");
  std::ifstream file(std::string(repository == nullptr ? "." : repository) +
                     "/tests/data/prose.txt");
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

double perplexity(const std::string& path) {
  const auto model = LlamaModel::open(path, LlamaModel::Load::kWeights, "test").value();
  const auto engine =
      LlamaEngine::create(model,
                          {.context_tokens = 512, .sequences_max = 1, .batch_tokens_max = 32})
          .value();
  const std::array<int, 1> cpus = {-1};
  LlamaPool pool(cpus);
  engine->attach(pool);
  const SteadyClock clock;
  const AbortSignal never(clock);
  std::vector<TokenId> tokens = model->tokenize(text(), Model::Special::kParse).value();
  tokens.resize(std::min(tokens.size(), kTokens));
  double loss = 0;
  for (std::size_t at = 0; at + 1 < tokens.size(); ++at) {
    const std::span<const TokenId> one(&tokens[at], 1);
    const std::vector<std::span<const TokenId>> spans = {one};
    EXPECT_TRUE(engine->run(
        {.slices = {{SeqId{1}, static_cast<std::int32_t>(at), 1, true}}, .preempted = {}}, spans,
        never));
    const auto logits = engine->logits(0);
    double top = -1e30;
    for (const float x : logits) top = std::max(top, static_cast<double>(x));
    double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<double>(x) - top);
    loss -=
        static_cast<double>(logits[static_cast<std::size_t>(tokens[at + 1])]) - top - std::log(sum);
  }
  engine->detach();
  return std::exp(loss / static_cast<double>(tokens.size() - 1));
}

// This program again, with the kernels that `setting` says.
double perplexity_with(const std::string& setting, const std::string& path) {
  const std::string command = "CHOIR_KERNELS=" + setting + " " + kModelVariable + "='" + path +
                              "' /proc/" + std::to_string(getpid()) +
                              "/exe --gtest_filter=PerplexityOfOne.IsPrinted";
  FILE* out = popen(command.c_str(), "r");
  EXPECT_NE(out, nullptr);
  double value = -1;
  std::array<char, 256> line{};
  while (std::fgets(line.data(), line.size(), out) != nullptr)
    std::sscanf(line.data(), "perplexity %lf", &value);
  EXPECT_EQ(pclose(out), 0);
  return value;
}

TEST(PerplexityOfOne, IsPrinted) {
  const char* path = std::getenv(kModelVariable);
  if (path == nullptr) GTEST_SKIP() << "run by the test below";
  std::printf("perplexity %.9g\n", perplexity(path));
}

TEST(KernelPerplexity, IsThatOfTheEnginesOwnKernels) {
  if (kernels::active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  for (const std::string& path : all_models()) {
    SCOPED_TRACE(path);
    const double ours = perplexity_with(kernels::active_table()->name, path);
    const double theirs = perplexity_with("off", path);
    ASSERT_GT(ours, 1.0);
    // Worse by half a percent would be a fault. Better by a little is luck and ggml's rounding of
    // scales to halves; much better would be a fault too.
    EXPECT_LE(ours, 1.005 * theirs);
    EXPECT_GE(ours, 0.98 * theirs);
    RecordProperty("ours", std::to_string(ours));
    RecordProperty("theirs", std::to_string(theirs));
  }
}

}  // namespace
}  // namespace choir
