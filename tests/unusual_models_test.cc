// Files that few people have: types that our kernels leave to the engine, scale tensors, experts.
// They load and compute, with our kernels and without.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "engine/llama_backend.h"
#include "engine/llama_engine.h"
#include "engine/llama_model.h"
#include "engine/llama_pool.h"
#include "model_file.h"
#include "temp_folder.h"

namespace choir {
namespace {

constexpr EngineConfig kSmall{.context_tokens = 128, .sequences_max = 2, .batch_tokens_max = 64};

struct Row {
  std::string name;
  ModelFile file;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

std::string write_one(const TempFolder& folder, const std::string& name, const ModelFile& file) {
  return write_model(folder.path(), name, file).front();
}

Status checked(const TempFolder& folder, const std::string& path) {
  LlamaBackend backend({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}},
                       1ULL << 32);
  CHOIR_TRY(backend.measure(path, kSmall));
  CHOIR_TRY(backend.load(path, {}));
  return {};
}

// Of the token that follows 40 others, computed in one pass.
std::vector<float> logits_of(const std::string& path) {
  const auto model = LlamaModel::open(path, LlamaModel::Load::kWeights, "test").value();
  const auto engine = LlamaEngine::create(model, kSmall).value();
  const std::array<int, 1> anywhere = {-1};
  LlamaPool pool(anywhere);
  engine->attach(pool);
  std::vector<TokenId> tokens;
  for (TokenId token = 0; token < 40; ++token) tokens.push_back(300 + 3 * token);
  const SteadyClock clock;
  const AbortSignal never(clock);
  const StepPlan plan{.slices = {{SeqId{1}, 0, static_cast<std::int32_t>(tokens.size()), true}},
                      .preempted = {}};
  const std::array<std::span<const TokenId>, 1> slices = {tokens};
  EXPECT_EQ(engine->run(plan, slices, never).value(), RunOutcome::kDone);
  const auto row = engine->logits(0);
  std::vector<float> out(row.begin(), row.end());
  engine->detach();
  return out;
}

// Of the sizes of both.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double apart = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    apart += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(apart / size);
}

class Scales : public testing::TestWithParam<Row> {};

TEST_P(Scales, MultiplyWhatAProductGives) {
  const TempFolder folder;
  ModelFile file = GetParam().file;
  const std::string plain = write_one(folder, "plain", file);
  file.scales = true;
  const std::string ones = write_one(folder, "ones", file);
  file.scale = 0.5F;
  const std::string halves = write_one(folder, "halves", file);
  for (const std::string& path : {plain, ones, halves}) {
    const Status seen = checked(folder, path);
    ASSERT_TRUE(seen) << seen.error().message;
  }
  const std::vector<float> without = logits_of(plain);
  // A unit behind scaled products is the engine's own, which rounds otherwise than our fused one.
  constexpr double kRounding = 0.01;
  EXPECT_LT(difference(without, logits_of(ones)), kRounding) << "a scale of one changes nothing";
  EXPECT_GT(difference(without, logits_of(halves)), 2 * kRounding);
}

const Row kScales[] = {
    {"Dense", {.type = GGML_TYPE_Q8_0}},
    {"Halves", {.type = GGML_TYPE_F16}},
    {"Experts", {.type = GGML_TYPE_Q4_K, .experts = 4}},
    {"BitNet", {.architecture = "bitnet", .type = GGML_TYPE_TQ2_0}},
    {"BitNetOfOurTypes", {.architecture = "bitnet", .type = GGML_TYPE_Q4_0}},
    {"Nvfp4", {.type = GGML_TYPE_NVFP4}},
    {"Nvfp4Experts", {.type = GGML_TYPE_NVFP4, .experts = 4}},
};
INSTANTIATE_TEST_SUITE_P(, Scales, testing::ValuesIn(kScales),
                         [](const auto& row) { return row.param.name; });

TEST(Diffusion, IsSaidToBeWhatItIs) {
  const TempFolder folder;
  const std::string path = write_one(folder, "model", {.architecture = "llada"});
  const Status refused = checked(folder, path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_TRUE(refused.error().message.starts_with("'random' is a diffusion model (llada): "))
      << refused.error().message;
  // To look at it is no harm.
  const auto model = LlamaModel::open(path, LlamaModel::Load::kWithoutWeights, "test").value();
  EXPECT_FALSE(model->info().generates);
  EXPECT_EQ(model->info().not_run, "a diffusion model (llada)");
}

struct Ended {
  int status = -1;  // of waitpid
  std::string output;
};

// What the command line does with the file, in a process of its own.
Ended run_choir(const TempFolder& folder, const std::string& path, const std::string& kernels) {
  const char* program = std::getenv("CHOIR_BIN");
  if (program == nullptr) return {};
  const std::string command =
      "CHOIR_CACHE='" + folder.path() + "' CHOIR_KERNELS=" + kernels + " '" + program + "' run '" +
      path +
      "' 'Once upon a time there was a little girl who lived in a house in the wood with her "
      "mother.' --raw --max-tokens 6 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  Ended ended;
  std::array<char, 4096> block{};
  while (std::fgets(block.data(), block.size(), pipe) != nullptr) ended.output += block.data();
  ended.status = pclose(pipe);
  return ended;
}

class Types : public testing::TestWithParam<Row> {};

TEST_P(Types, DoNotEndTheProcess) {
  if (std::getenv("CHOIR_BIN") == nullptr) GTEST_SKIP() << "CHOIR_BIN names no program";
  const TempFolder folder;
  const std::string path = write_one(folder, "model", GetParam().file);
  for (const char* kernels : {"off", ""}) {
    const Ended ended = run_choir(folder, path, kernels);
    EXPECT_TRUE(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 0)
        << "CHOIR_KERNELS=" << kernels << ": status " << ended.status << "\n"
        << ended.output;
  }
}

// Those for which the engine has code of its own for the tile instructions, and others.
const Row kTypes[] = {
    {"Q4_0", {.type = GGML_TYPE_Q4_0}},
    {"Q4_1", {.type = GGML_TYPE_Q4_1}},
    {"Q8_0", {.type = GGML_TYPE_Q8_0}},
    {"Q4_K", {.type = GGML_TYPE_Q4_K}},
    {"Q5_K", {.type = GGML_TYPE_Q5_K}},
    {"Q6_K", {.type = GGML_TYPE_Q6_K}},
    {"IQ4_XS", {.type = GGML_TYPE_IQ4_XS}},
    {"IQ4_NL", {.type = GGML_TYPE_IQ4_NL}},
    {"Q3_K", {.type = GGML_TYPE_Q3_K}},
    {"F16", {.type = GGML_TYPE_F16}},
    {"BF16", {.type = GGML_TYPE_BF16}},
    {"MXFP4", {.type = GGML_TYPE_MXFP4}},
    {"Experts", {.type = GGML_TYPE_IQ4_XS, .experts = 4}},
};
INSTANTIATE_TEST_SUITE_P(, Types, testing::ValuesIn(kTypes),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace choir
