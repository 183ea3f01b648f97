#include "policy/admit.h"

#include <algorithm>

#include "choir/text.h"

namespace choir {
namespace {

std::string needs(std::string_view name, const ExecutorBytes& need) {
  return "executor '" + std::string(name) + "' needs " + bytes_text(need.total()) + " (weights " +
         bytes_text(need.weights) + ", KV " + bytes_text(need.kv) + ", compute " +
         bytes_text(need.compute) + ", logits " + bytes_text(need.logits) + ")";
}

constexpr std::string_view kRemedy =
    "lower its batch or its sequence length, take a smaller quantization, or unload another "
    "executor";

}  // namespace

std::uint64_t missing_bytes(const ExecutorBytes& need, const MemoryView& memory) {
  const std::uint64_t total = need.total();
  const std::uint64_t left = memory.limit > memory.promised ? memory.limit - memory.promised : 0;
  const std::uint64_t room = std::min(left, memory.free);
  return total > room ? total - room : 0;
}

Status admit(std::string_view name, const ExecutorBytes& need, const MemoryView& memory) {
  const std::uint64_t total = need.total();
  const std::uint64_t left = memory.limit > memory.promised ? memory.limit - memory.promised : 0;
  if (total > left) {
    return fail(Code::kOutOfMemory,
                needs(name, need) + ", but of the limit of " + bytes_text(memory.limit) + " only " +
                    bytes_text(left) + " is left beside " + bytes_text(memory.promised) +
                    " promised to others, " + bytes_text(total - left) +
                    " short: " + std::string(kRemedy) + ", or raise the memory limit",
                {Fact::of("need_bytes", total), Fact::of("free_bytes", left)});
  }
  if (total > memory.free) {
    return fail(Code::kOutOfMemory,
                needs(name, need) + ", but the machine has only " + bytes_text(memory.free) +
                    " free now, " + bytes_text(total - memory.free) +
                    " short: " + std::string(kRemedy) + ", or end other programs",
                {Fact::of("need_bytes", total), Fact::of("free_bytes", memory.free)});
  }
  return {};
}

}  // namespace choir
