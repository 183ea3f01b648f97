// From the words of parallel/parallel_llm_execution.h to those of choir/: checked, and refused by
// field, value and range. Pure, but for wall_now().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "choir/config.h"
#include "choir/request.h"
#include "choir/result.h"
#include "context/snapshot_folder.h"
#include "parallel/parallel_llm_execution.h"

namespace choir::parallel {

TimePoint wall_now();
Priority native(LLMPriority priority);
Batching native(LLMExecutionMode mode);
Result<Priority> priority_named(std::string_view name);
std::string_view to_string(LLMExecutionMode mode);
std::string_view to_string(LLMPriority priority);

// What `parameters` of an executor say.
struct ExecutorSettings {
  std::string store;  // folder; empty: conversations in memory
  std::uint64_t store_kv_bytes_max = kSnapshotBytesMax;
  std::string group;          // of replicas; empty: none
  bool strict_shape = false;  // a wrong numLayers, hiddenSize, numHeads or modelType is an error
  double shares = 1;
  std::int32_t batch_tokens_max = 512;
  std::uint64_t park_bytes_max = 256ULL << 20;
  bool pinned = false;
  bool prefix_cache = true;
  KvType kv_type = KvType::kF16;
};
Result<ExecutorSettings> read_settings(const LLMExecutionConfig& config);

// A request as the node takes it, but for its prompt.
struct RequestSettings {
  Request request;  // without executor, messages, text and tokens
  std::string context_id;
  bool raw = false;      // no chat template
  bool chained = false;  // wants the answer of the request before it
};
Result<RequestSettings> read_request(const LLMExecutionRequest& request, LLMPriority priority);

// Whether a model type is one that embeds ("BERT", "RoBERTa", "encoder", ...).
bool names_encoder(std::string_view model_type);

// The answer to a request that was not carried out.
LLMExecutionResponse refusal(const LLMExecutionRequest& request, std::string llm_id,
                             std::string why);

// What stands for the answer of the request before in executePipelined().
inline constexpr std::string_view kPrevious = "{{previous}}";
LLMExecutionRequest with_previous(LLMExecutionRequest request, const std::string& answer);

}  // namespace choir::parallel
