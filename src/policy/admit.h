// Decides whether an executor fits into memory before a byte of it is loaded.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "choir/result.h"

namespace choir {

// What one executor takes. Weights count once per model file, however many executors use it.
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

// What the machine, the cgroup and the configuration allow, as read once by the caller.
struct MemoryView {
  std::uint64_t limit = 0;     // most that this process may use for executors
  std::uint64_t promised = 0;  // to executors that are already admitted
  std::uint64_t free = 0;      // what machine and cgroup could give right now
  bool operator==(const MemoryView&) const = default;
};

// Bytes that would have to come free for it to fit; 0: it fits.
std::uint64_t missing_bytes(const ExecutorBytes& need, const MemoryView& memory);

// Fails with kOutOfMemory and a sentence that has need (in parts), room, what is missing, and what
// to change, and the facts need_bytes and free_bytes. An executor fits when promised + need <=
// limit and need <= free; the limit is looked at first.
Status admit(std::string_view name, const ExecutorBytes& need, const MemoryView& memory);

}  // namespace choir
