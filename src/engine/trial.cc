#include "engine/trial.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

#include "base/clock.h"
#include "choir/machine.h"
#include "engine/llama_engine.h"
#include "engine/llama_model.h"
#include "engine/llama_model_info.h"
#include "engine/llama_pool.h"
#include "engine/llama_runtime.h"
#include "policy/admit.h"

namespace choir {
namespace {

// Enough for what requests do with an engine, in all its ways: tiles of several rows, one row,
// sequences that share cells.
constexpr EngineConfig kTrial{.context_tokens = 256, .sequences_max = 4, .batch_tokens_max = 64};
constexpr int kPromptTokens = 24;  // more rows than a tile has
constexpr int kSecondTokens = 20;
constexpr int kSharedTokens = 16;
constexpr std::size_t kTextTokens = 48;  // longer than any sequence here becomes

constexpr SeqId kFirst{1};
constexpr SeqId kSecond{2};
constexpr SeqId kForked{3};
constexpr SeqId kRestored{4};

tl::unexpected<Error> bad_file(const std::string& path, const char* what) {
  const std::string why = engine_complaint();
  return fail(Code::kEngineFailed,
              "'" + path + "' " + what + ": " + (why.empty() ? "no reason given" : why));
}

Status no_numbers(const std::string& path) {
  return fail(Code::kEngineFailed, "'" + path + "' is damaged: its weights give no numbers");
}

// Words, or any tokens where the vocabulary has none for them.
Result<std::vector<TokenId>> trial_text(const LlamaModel& model) {
  std::string words;
  for (int i = 0; i < 8; ++i) words += "The model reads a text and writes what follows. ";
  auto tokens = CHOIR_TRY(model.tokenize(words, Model::Special::kParse));
  if (tokens.empty()) tokens.push_back(0);
  for (std::size_t i = 0; tokens.size() < kTextTokens; ++i) tokens.push_back(tokens[i]);
  tokens.resize(kTextTokens);
  return tokens;
}

struct Step {
  SeqId seq;
  std::int32_t tokens = 0;
};

// One pass in which each sequence goes on by so many tokens of the text.
Status go_on(LlamaEngine& engine, const std::vector<TokenId>& text, const std::string& path,
             std::initializer_list<Step> steps) {
  StepPlan plan;
  std::vector<std::span<const TokenId>> slices;
  for (const Step& step : steps) {
    const std::int32_t begin = engine.computed(step.seq);
    plan.slices.push_back({step.seq, begin, step.tokens, true});
    slices.push_back(std::span(text).subspan(static_cast<std::size_t>(begin),
                                             static_cast<std::size_t>(step.tokens)));
  }
  const SteadyClock clock;
  const AbortSignal never(clock);
  const RunOutcome outcome = CHOIR_TRY(engine.run(plan, slices, never));
  if (outcome != RunOutcome::kDone)
    return fail(Code::kEngineFailed, "'" + path + "' cannot be computed with");
  for (std::size_t i = 0; i < plan.slices.size(); ++i)
    for (const float logit : engine.logits(i))
      if (std::isnan(logit)) return no_numbers(path);
  return {};
}

// What requests do: a prompt, a prompt beside a sequence that decodes, several that decode, and
// fronts that are shared, cut, saved and restored. Whether a model's memory can do the latter is
// not asked here: an engine says so, and only must not abort.
Status use_as_requests_do(LlamaEngine& engine, const std::vector<TokenId>& text,
                          const std::string& path) {
  CHOIR_CHECK_OK(go_on(engine, text, path, {{kFirst, kPromptTokens}}));
  CHOIR_CHECK_OK(go_on(engine, text, path, {{kFirst, 1}, {kSecond, kSecondTokens}}));
  CHOIR_TRY(engine.fork(kFirst, kForked, kSharedTokens));
  engine.truncate(kSecond, kSharedTokens);
  CHOIR_CHECK_OK(go_on(engine, text, path, {{kFirst, 1}, {kSecond, 2}, {kForked, 2}}));
  if (const auto saved = engine.save(kSecond)) {
    engine.truncate(kSecond, 0);
    (void)engine.restore(kRestored, *saved);
  }
  return go_on(engine, text, path, {{kFirst, 1}, {kForked, 1}, {kRestored, 1}});
}

Status use_as_encoder(LlamaEngine& engine, std::vector<TokenId> text, const std::string& path) {
  const SteadyClock clock;
  const AbortSignal never(clock);
  const auto most = static_cast<std::size_t>(engine.config().batch_tokens_max);
  text.resize(std::min({text.size(), most, std::size_t{kPromptTokens}}));
  const std::array<std::span<const TokenId>, 1> texts = {text};
  for (const auto& vector : CHOIR_TRY(engine.embed(texts, never)))
    if (std::ranges::any_of(vector, [](float value) { return std::isnan(value); }))
      return no_numbers(path);
  return {};
}

// Small models compute faster than threads meet.
std::vector<int> trial_cpus(const ModelInfo& info) {
  constexpr std::uint64_t kOneThreadBytes = 256U << 20;
  constexpr int kThreadsMax = 8;
  const int threads =
      info.weight_bytes < kOneThreadBytes ? 1 : std::min(read_machine().cores, kThreadsMax);
  return std::vector<int>(static_cast<std::size_t>(threads), -1);  // anywhere
}

}  // namespace

EngineConfig trial_config(const EngineConfig& config) {
  EngineConfig trial = kTrial;
  trial.kv_type = config.kv_type;
  return trial;
}

Result<MeasuredFile> open_to_measure(const std::string& path) {
  start_llama();
  clear_engine_complaint();
  llama_model_params params = model_params();
  params.no_alloc = true;
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  LlamaModelHandle model(llama_model_load_from_file(path.c_str(), params));
  if (!model) return bad_file(path, "cannot be loaded");
  ModelInfo info = read_model_info(*model, path);
  CHOIR_CHECK_OK(check_runs(info));
  return MeasuredFile{path, std::move(info), std::move(model)};
}

Result<ExecutorBytes> measure(const MeasuredFile& file, const EngineConfig& config) {
  clear_engine_complaint();
  CHOIR_CHECK_OK(check_kv_type(*file.model, file.info, config.kv_type));
  const LlamaContextHandle context(
      llama_init_from_model(file.model.get(), context_params(config, *file.model, file.info)));
  if (!context) return bad_file(file.path, "gives no context");
  return read_bytes(*context, config, file.info);
}

Result<ExecutorBytes> measure_file(const std::string& path, const EngineConfig& config) {
  return measure(CHOIR_TRY(open_to_measure(path)), config);
}

Status try_file(const std::string& path, const EngineConfig& config,
                std::uint64_t memory_bytes_max) {
  auto measured = measure_file(path, config);
  EngineConfig trial = trial_config(config);
  // The verdict is on the file. Whoever wants a KV type that it cannot have hears so later.
  if (!measured && measured.error().code == Code::kInvalidArgument) {
    EngineConfig plain = config;
    plain.kv_type = KvType::kF16;
    trial = trial_config(plain);
    measured = measure_file(path, plain);
  }
  // Nor is it damaged where it is of a kind that Choir does not run; it is not computed with.
  if (!measured && measured.error().code == Code::kInvalidArgument) return {};
  const ExecutorBytes need = CHOIR_TRY(std::move(measured));
  CHOIR_CHECK_OK(admit(path, need, {memory_bytes_max, 0, memory_bytes_max}));
  const auto model =
      CHOIR_TRY(LlamaModel::open(path, LlamaModel::Load::kWeights, std::string(32, '0')));
  const auto engine = CHOIR_TRY(LlamaEngine::create(model, trial));
  LlamaPool pool(trial_cpus(model->info()));
  engine->attach(pool);
  const std::vector<TokenId> text = CHOIR_TRY(trial_text(*model));
  if (model->info().generates) {
    CHOIR_CHECK_OK(use_as_requests_do(*engine, text, path));
    const Message hello{.role = "user", .content = "Hello"};
    CHOIR_TRY(model->render({&hello, 1}, Contents::kText));
  } else {
    CHOIR_CHECK_OK(use_as_encoder(*engine, text, path));
  }
  engine->detach();
  return {};
}

}  // namespace choir
