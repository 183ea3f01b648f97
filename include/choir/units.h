// The small words that every layer shares: time, priority, what to do with work at an end.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace choir {

using Nanos = std::chrono::nanoseconds;

// A point on the node's clock (base/clock.h), not on the wall: only differences mean something.
struct Instant {
  Nanos since_start{0};
  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Nanos operator-(Instant a, Instant b) { return a.since_start - b.since_start; }
  friend constexpr Instant operator+(Instant a, Nanos d) { return {a.since_start + d}; }
};

constexpr double to_seconds(Nanos d) { return std::chrono::duration<double>(d).count(); }

// Strict classes: work of a class runs only while no better class is runnable, but whoever waits
// long enough is aged upwards (policy/turn.h), so that LOW always advances.
enum class Priority : std::uint8_t { kCritical = 0, kHigh = 1, kNormal = 2, kLow = 3 };
inline constexpr std::array<std::string_view, 4> kPriorityNames = {"critical", "high", "normal",
                                                                   "low"};
constexpr std::string_view to_string(Priority p) {
  return kPriorityNames.at(static_cast<std::size_t>(p));
}

// How keys and values of computed tokens are kept: as halves, or as int8 with one scale for 32, in
// 34 bytes instead of 64, for little accuracy. Head sizes that are no multiple of 32 have kF16
// only.
enum class KvType : std::uint8_t { kF16, kQ80 };
inline constexpr std::array<std::string_view, 2> kKvTypeNames = {"f16", "q8_0"};
constexpr std::string_view to_string(KvType type) {
  return kKvTypeNames.at(static_cast<std::size_t>(type));
}

// What to do with running work when its executor or its node ends.
enum class Drain : std::uint8_t { kFinish, kCancel };

}  // namespace choir
