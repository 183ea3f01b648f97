// What choir-probe does in its child process: opens a file, measures, loads, and computes as
// requests do: prompts of several rows, several sequences that decode, fronts that are shared.
#pragma once

#include <cstdint>
#include <string>

#include "choir/model_info.h"
#include "choir/result.h"
#include "engine/engine.h"
#include "engine/llama_handles.h"

namespace choir {

// A file that was loaded without allocation: its vocabulary and shapes, no weights.
struct MeasuredFile {
  std::string path;
  ModelInfo info;
  LlamaModelHandle model;
};

// kInvalidArgument for a model that Choir does not run. May abort on a damaged file.
Result<MeasuredFile> open_to_measure(const std::string& path);
// Bytes of `config` on this file.
Result<ExecutorBytes> measure(const MeasuredFile& file, const EngineConfig& config);
// Both.
Result<ExecutorBytes> measure_file(const std::string& path, const EngineConfig& config);

// What the passes of a trial for `config` are computed with: small, and with cells of its type.
EngineConfig trial_config(const EngineConfig& config);

// measure_file() against memory_bytes_max (kOutOfMemory with the numbers), then a load and
// some forward passes. May abort on a damaged file: that is what it is for.
Status try_file(const std::string& path, const EngineConfig& config,
                std::uint64_t memory_bytes_max);

}  // namespace choir
