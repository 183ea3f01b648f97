#include "policy/admit.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>

namespace choir {
namespace {

std::string needs(std::string_view name, const ExecutorBytes& need) {
  return "executor '" + std::string(name) + "' needs " + format_bytes(need.total()) + " (weights " +
         format_bytes(need.weights) + ", KV " + format_bytes(need.kv) + ", compute " +
         format_bytes(need.compute) + ", logits " + format_bytes(need.logits) + ")";
}

constexpr std::string_view kRemedy =
    "lower its batch or its sequence length, take a smaller quantization, or unload another "
    "executor";

}  // namespace

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double amount = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  // 1023.95 and not 1024: what would print as "1024.0 MiB" is "1.0 GiB".
  for (; amount >= 1023.95 && unit + 1 < kUnits.size(); ++unit) amount /= 1024;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", amount, kUnits.at(unit));
  return text.data();
}

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
    return fail(Code::kOutOfMemory, needs(name, need) + ", but of the limit of " +
                                        format_bytes(memory.limit) + " only " + format_bytes(left) +
                                        " is left beside " + format_bytes(memory.promised) +
                                        " promised to others, " + format_bytes(total - left) +
                                        " short: " + std::string(kRemedy) +
                                        ", or raise the memory limit");
  }
  if (total > memory.free) {
    return fail(Code::kOutOfMemory,
                needs(name, need) + ", but the machine has only " + format_bytes(memory.free) +
                    " free now, " + format_bytes(total - memory.free) +
                    " short: " + std::string(kRemedy) + ", or end other programs");
  }
  return {};
}

}  // namespace choir
