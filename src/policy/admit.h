// Decides whether an executor fits into memory before a byte of it is loaded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "choir/result.h"
#include "core/executor_bytes.h"

namespace choir {

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
