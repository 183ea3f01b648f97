#include "choir/config.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "choir/text.h"
#include "core/checks.h"

namespace choir {
namespace {

constexpr std::int32_t kTokensMax = 1 << 24;  // beyond any model's context

}  // namespace

Result<KvType> kv_type_named(std::string_view name) {
  const auto found = std::ranges::find(kKvTypeNames, name);
  if (found != kKvTypeNames.end()) return static_cast<KvType>(found - kKvTypeNames.begin());
  return bad("'" + printable_line(name, 60) + "' is no type of KV cells, allowed f16 or q8_0");
}

Status validate(const ExecutorConfig& c) {
  if (c.name.empty()) return bad("name is empty: requests name the executor by it");
  if (c.name.size() > 256)
    return bad("name has " + std::to_string(c.name.size()) + " bytes, at most 256",
               value_and_limit(c.name.size(), 256));
  if (first_invalid_utf8(c.name)) return bad("name is not valid UTF-8");
  // An escape has six characters at most.
  if (printable_line(c.name, 6 * c.name.size() + 4) != c.name)
    return bad("name is '" + printable_line(c.name, 60) +
               "': a name has no control characters, line breaks or marks of writing direction");
  if (c.path.empty()) return bad("path is empty: it names a GGUF file");
  CHOIR_CHECK_OK(in_range("sequences_max", c.sequences_max, 1, 256));  // the engine's own limit
  CHOIR_CHECK_OK(in_range("context_tokens", c.context_tokens, 2, kTokensMax));
  CHOIR_CHECK_OK(in_range("batch_tokens_max", c.batch_tokens_max, 1, 8192));
  if (c.batch_tokens_max < c.sequences_max)
    return bad("batch_tokens_max is " + std::to_string(c.batch_tokens_max) +
                   ", needs one token for each of the " + std::to_string(c.sequences_max) +
                   " sequences",
               value_and_limit(c.batch_tokens_max, c.sequences_max));
  if (c.context_tokens < 2 * c.sequences_max)
    return bad("context_tokens is " + std::to_string(c.context_tokens) +
                   ", needs two for each of the " + std::to_string(c.sequences_max) + " sequences",
               value_and_limit(c.context_tokens, 2 * c.sequences_max));
  CHOIR_CHECK_OK(in_range("sequence_tokens_max", c.sequence_tokens_max, 0, kTokensMax));
  if (!std::isfinite(c.shares) || c.shares < 0.001 || c.shares > 1000)
    return bad("shares is " + std::to_string(c.shares) + ", allowed 0.001 .. 1000");
  if (c.batching > Batching::kCollectBusy) return bad("batching is not one that there is");
  if (c.kv_type > KvType::kQ80) return bad("kv_type is not one of f16, q8_0");
  if (c.priority > Priority::kLow) return bad("priority is not one of critical, high, normal, low");
  return {};
}

Status validate(const NodeConfig& c) {
  using std::chrono::milliseconds;
  CHOIR_CHECK_OK(in_range("cores", c.cores, 0, 4096));
  CHOIR_CHECK_OK(in_range("lanes_max", c.lanes_max, 0, 4096));
  if (c.cores > 0 && c.lanes_max > c.cores)
    return bad("lanes_max is " + std::to_string(c.lanes_max) + ", allowed 0 .. " +
                   std::to_string(c.cores) + ", the cores: a lane has one at least",
               value_and_limit(c.lanes_max, c.cores));
  CHOIR_CHECK_OK(in_range("queue_max", c.queue_max, 1, 1 << 20));
  CHOIR_CHECK_OK(in_range("dispatchers", c.dispatchers, 1, 256));
  CHOIR_CHECK_OK(in_range<long>("quantum (ms)", c.quantum.count(), 1, 10'000));
  CHOIR_CHECK_OK(in_range<long>("age_step (ms)", c.age_step.count(), 1, 3'600'000));
  CHOIR_CHECK_OK(in_range<long>("stalled (ms)", c.stalled.count(), 1, 86'400'000));
  CHOIR_CHECK_OK(in_range<unsigned long>("stream_bytes_max", c.stream_bytes_max, 256, 1UL << 30));
  if (c.policy > ExecutionPolicy::kSequential) return bad("policy is not one that there is");
  return {};
}

}  // namespace choir
