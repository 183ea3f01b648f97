#include "runtime/config_parts.h"

#include <algorithm>
#include <string>

#include "base/log.h"

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

Status change_sizes(ExecutorConfig& config, std::int32_t trained, std::int32_t sequences_max,
                    std::int32_t sequence_tokens_max, std::int32_t batch_tokens_max) {
  if (trained > 0 && sequence_tokens_max > trained) {
    log(LogLevel::kWarn, "executor '" + config.name + "': a length of " +
                             std::to_string(sequence_tokens_max) + " tokens is more than the " +
                             std::to_string(trained) + " its model was trained for: taking those");
    sequence_tokens_max = trained;
  }
  const std::int64_t cells = static_cast<std::int64_t>(sequences_max) * sequence_tokens_max;
  if (sequences_max < 1 || sequence_tokens_max < 2 || cells > INT32_MAX)
    return fail(Code::kInvalidArgument, "cannot resize '" + config.name + "' to " +
                                            std::to_string(sequences_max) + " sequences of " +
                                            std::to_string(sequence_tokens_max) +
                                            " tokens: at least 1 of 2, together below 2^31");
  config.sequences_max = sequences_max;
  config.sequence_tokens_max = sequence_tokens_max;
  config.context_tokens = static_cast<std::int32_t>(cells);
  if (batch_tokens_max > 0) config.batch_tokens_max = batch_tokens_max;
  config.batch_tokens_max = std::max(config.batch_tokens_max, sequences_max);
  return validate(config);
}

}  // namespace choir
