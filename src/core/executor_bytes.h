// What one executor takes of memory, in bytes. A value.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace choir {

// Weights count once per model file, however many executors use it.
struct ExecutorBytes {
  std::uint64_t weights = 0;
  std::uint64_t kv = 0;
  std::uint64_t compute = 0;  // the engine's scratch for one pass
  std::uint64_t logits = 0;   // outputs of one pass
  bool operator==(const ExecutorBytes&) const = default;

  // Without the weights, which others of the same file share.
  std::uint64_t own() const { return kv + compute + logits; }
  // Saturates: sizes come from files, and a sum that wraps round would be admitted.
  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t part : {weights, kv, compute, logits})
      if (__builtin_add_overflow(sum, part, &sum)) return UINT64_MAX;
    return sum;
  }
};

}  // namespace choir
