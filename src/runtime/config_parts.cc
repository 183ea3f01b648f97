#include "runtime/config_parts.h"

namespace choir {

void take_settings(ExecutorConfig& to, const ExecutorConfig& from) {
  to.shares = from.shares;
  to.priority = from.priority;
  to.batching = from.batching;
  to.pinned = from.pinned;
  to.park_bytes_max = from.park_bytes_max;
  to.prefix_cache = from.prefix_cache;
}

void take_sizes(ExecutorConfig& to, const ExecutorConfig& from) {
  to.context_tokens = from.context_tokens;
  to.sequences_max = from.sequences_max;
  to.sequence_tokens_max = from.sequence_tokens_max;
  to.batch_tokens_max = from.batch_tokens_max;
}

std::optional<std::string_view> fixed_difference(const ExecutorConfig& one,
                                                 const ExecutorConfig& other) {
  if (one.path != other.path) return "path";
  if (one.context_tokens != other.context_tokens) return "context_tokens";
  if (one.sequences_max != other.sequences_max) return "sequences_max";
  if (one.sequence_tokens_max != other.sequence_tokens_max) return "sequence_tokens_max";
  if (one.batch_tokens_max != other.batch_tokens_max) return "batch_tokens_max";
  if (one.kv_type != other.kv_type) return "kv_type";
  return std::nullopt;
}

}  // namespace choir
