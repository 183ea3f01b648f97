// Values that every layer shares: time, priority, KV type, and what happens to running work at an
// end. Plain values; any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace choir {

using Nanos = std::chrono::nanoseconds;

// A point in time on the node's clock (base/clock.h). It is not a wall-clock time: only differences
// have a meaning.
struct Instant {
  Nanos since_start{0};
  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Nanos operator-(Instant a, Instant b) { return a.since_start - b.since_start; }
  friend constexpr Instant operator+(Instant a, Nanos d) { return {a.since_start + d}; }
};

constexpr double to_seconds(Nanos d) { return std::chrono::duration<double>(d).count(); }

// Strict priority classes: work of a class runs only while no better class is runnable. Work that
// has waited long enough is raised to a better class (ageing, policy/turn.h), so LOW always
// advances.
enum class Priority : std::uint8_t { kCritical = 0, kHigh = 1, kNormal = 2, kLow = 3 };
inline constexpr std::array<std::string_view, 4> kPriorityNames = {"critical", "high", "normal",
                                                                   "low"};
constexpr std::string_view to_string(Priority p) {
  return kPriorityNames.at(static_cast<std::size_t>(p));
}

// How the KV cache stores keys and values: kF16 as 16-bit floats; kQ80 as int8 with one scale for
// 32 values, which takes 34 bytes instead of 64 and costs a little accuracy. kQ80 needs head sizes
// that are multiples of 32.
enum class KvType : std::uint8_t { kF16, kQ80 };
inline constexpr std::array<std::string_view, 2> kKvTypeNames = {"f16", "q8_0"};
constexpr std::string_view to_string(KvType type) {
  return kKvTypeNames.at(static_cast<std::size_t>(type));
}

// What happens to running requests when their executor or node ends: they finish, or are cancelled.
enum class Drain : std::uint8_t { kFinish, kCancel };

}  // namespace choir
