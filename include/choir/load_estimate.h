// What an executor would take of memory: Node::estimate(). Plain values, for any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace choir {

// Bytes as measured by the engine.
struct MemoryUse {
  std::uint64_t weights = 0;  // shared by all executors of the same file
  std::uint64_t kv = 0;
  std::uint64_t compute = 0;
  bool operator==(const MemoryUse&) const = default;
};

struct LoadEstimate {
  MemoryUse need;              // what it would add; `weights` is 0 where the file is in memory
  std::uint64_t limit = 0;     // NodeInfo::memory_bytes_max
  std::uint64_t promised = 0;  // of the limit, to executors that are in memory
  std::uint64_t free = 0;      // what machine and cgroup could give now, at most `limit`
  std::uint64_t missing = 0;   // bytes that would have to come free first; 0: it fits as it is
  bool fits = false;           // perhaps after those of `leave` have left
  std::vector<std::string> leave = {};  // idle executors that would leave for it, in this order
  std::string refusal = {};  // what add() or resize() would say now; empty: they would do it
  bool operator==(const LoadEstimate&) const = default;
};

}  // namespace choir
