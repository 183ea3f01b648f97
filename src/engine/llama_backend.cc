#include "engine/llama_backend.h"

#include "engine/llama_engine.h"
#include "engine/llama_model_info.h"
#include "engine/llama_pool.h"

namespace choir {

LlamaBackend::LlamaBackend(FileCheckOptions options, std::uint64_t memory_bytes_max)
    : check_(std::move(options)), memory_bytes_max_(memory_bytes_max) {}

Result<bool> LlamaBackend::was_tried(const std::string& path, const EngineConfig& config) {
  return check_.was_tried(path, config);
}

Result<ExecutorBytes> LlamaBackend::measure(const std::string& path, const EngineConfig& config) {
  const CheckedFile file = CHOIR_TRY(check_.check(path, config, memory_bytes_max_));
  ExecutorBytes bytes = CHOIR_TRY(measured_.measure(file, config));
  const bool shared = open_.with([&](auto& open) {
    const auto found = open.find(file.identity);
    return found != open.end() && !found->second.expired();
  });
  if (shared) bytes.weights = 0;
  return bytes;
}

Result<std::shared_ptr<const Model>> LlamaBackend::load(const std::string& path,
                                                        const LoadProgress& progress) {
  const CheckedFile file = CHOIR_TRY(check_.check(path, std::nullopt, memory_bytes_max_));
  auto model = open_.with([&](auto& open) { return open[file.identity].lock(); });
  if (model) return std::static_pointer_cast<const Model>(model);
  measured_.close();  // its memory is needed now
  model = CHOIR_TRY(
      LlamaModel::open(file.path, LlamaModel::Load::kWeights, file.fingerprint, progress));
  CHOIR_CHECK_OK(check_runs(model->info()));
  open_.with([&](auto& open) { open[file.identity] = model; });
  return std::static_pointer_cast<const Model>(model);
}

Result<std::unique_ptr<Engine>> LlamaBackend::create_engine(std::shared_ptr<const Model> model,
                                                            const EngineConfig& config) {
  return CHOIR_TRY(
      LlamaEngine::create(std::static_pointer_cast<const LlamaModel>(std::move(model)), config));
}

std::unique_ptr<Pool> LlamaBackend::create_pool(std::span<const int> cpus) {
  return std::make_unique<LlamaPool>(cpus);
}

}  // namespace choir
