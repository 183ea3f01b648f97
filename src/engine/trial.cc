#include "engine/trial.h"

#include <array>
#include <cmath>

#include "base/clock.h"
#include "engine/llama_engine.h"
#include "engine/llama_model.h"
#include "engine/llama_model_info.h"
#include "engine/llama_pool.h"
#include "engine/llama_runtime.h"
#include "policy/admit.h"

namespace choir {

Result<ExecutorBytes> measure_file(const std::string& path, const EngineConfig& config) {
  start_llama();
  clear_engine_complaint();
  llama_model_params params = model_params();
  params.no_alloc = true;
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  LlamaModelHandle model(llama_model_load_from_file(path.c_str(), params));
  const auto bad = [&](const char* what) {
    const std::string why = engine_complaint();
    return fail(Code::kEngineFailed,
                "'" + path + "' " + what + ": " + (why.empty() ? "no reason given" : why));
  };
  if (!model) return bad("cannot be loaded");
  const ModelInfo info = read_model_info(*model, path);
  CHOIR_CHECK_OK(check_kv_type(*model, info, config.kv_type));
  LlamaContextHandle context(llama_init_from_model(model.get(), context_params(config, info)));
  if (!context) return bad("gives no context");
  return read_bytes(*context, config, info);
}

Status try_file(const std::string& path, const EngineConfig& config,
                std::uint64_t memory_bytes_max) {
  auto measured = measure_file(path, config);
  // The verdict is on the file. Whoever wants a KV type that it cannot have hears so later.
  if (!measured && measured.error().code == Code::kInvalidArgument) {
    EngineConfig plain = config;
    plain.kv_type = KvType::kF16;
    measured = measure_file(path, plain);
  }
  const ExecutorBytes need = CHOIR_TRY(std::move(measured));
  CHOIR_CHECK_OK(admit(path, need, {memory_bytes_max, 0, memory_bytes_max}));
  // A small context is enough to see whether the weights can be used.
  const EngineConfig small{.context_tokens = 64, .sequences_max = 1, .batch_tokens_max = 32};
  const auto model =
      CHOIR_TRY(LlamaModel::open(path, LlamaModel::Load::kWeights, std::string(32, '0')));
  const auto engine = CHOIR_TRY(LlamaEngine::create(model, small));
  const std::array<int, 1> anywhere = {-1};
  LlamaPool pool(anywhere);
  engine->attach(pool);

  auto tokens = CHOIR_TRY(model->tokenize("Hello", Model::Special::kParse));
  if (tokens.empty()) tokens.push_back(0);
  if (tokens.size() > 16) tokens.resize(16);
  const SteadyClock clock;
  const AbortSignal never(clock);
  if (!model->info().generates) {
    for (const float value : CHOIR_TRY(engine->embed(tokens, never)))
      if (std::isnan(value))
        return fail(Code::kEngineFailed, "'" + path + "' is damaged: its weights give no numbers");
    engine->detach();
    return {};
  }
  const StepPlan plan{.slices = {{SeqId{1}, 0, static_cast<std::int32_t>(tokens.size()), true}},
                      .preempted = {}};
  const std::array<std::span<const TokenId>, 1> slices = {tokens};
  const RunOutcome outcome = CHOIR_TRY(engine->run(plan, slices, never));
  if (outcome != RunOutcome::kDone)
    return fail(Code::kEngineFailed, "'" + path + "' cannot be computed with");
  for (const float logit : engine->logits(0))
    if (std::isnan(logit))
      return fail(Code::kEngineFailed, "'" + path + "' is damaged: its weights give no numbers");
  const Message hello{.role = "user", .content = "Hello"};
  CHOIR_TRY(model->render({&hello, 1}));
  engine->detach();
  return {};
}

}  // namespace choir
