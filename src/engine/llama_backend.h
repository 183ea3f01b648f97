// Makes models, engines and pools on llama.cpp, and knows which files are open.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/guarded.h"
#include "engine/engine.h"
#include "engine/file_check.h"
#include "engine/llama_model.h"
#include "engine/measured_files.h"

namespace choir {

class LlamaBackend final : public Backend {
 public:
  LlamaBackend(FileCheckOptions options, std::uint64_t memory_bytes_max);

  Result<bool> was_tried(const std::string& path, const EngineConfig& config) override;
  Result<ExecutorBytes> measure(const std::string& path, const EngineConfig& config) override;
  Result<std::shared_ptr<const Model>> load(const std::string& path,
                                            const LoadProgress& progress) override;
  Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                const EngineConfig& config) override;
  std::unique_ptr<Pool> create_pool(std::span<const int> cpus) override;

 private:
  FileCheck check_;
  MeasuredFiles measured_;
  std::uint64_t memory_bytes_max_;
  // By file identity: the same file is open once, a copy of it is another model.
  Guarded<std::map<std::string, std::weak_ptr<const LlamaModel>>> open_;
};

}  // namespace choir
