// The state of a model, under the names that all routes, events and metrics have.
//
// Pure; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "choir/node.h"

namespace choir::serve {

inline constexpr std::array<std::string_view, 4> kModelStates = {"unloaded", "loading", "loaded",
                                                                 "suspended"};

// Tokens of the longest sequence, prompt and output together.
inline std::int32_t longest_sequence(const ExecutorConfig& config) {
  return config.sequence_tokens_max > 0
             ? std::min(config.sequence_tokens_max, config.context_tokens)
             : config.context_tokens;
}

inline std::string_view state_of(const ExecutorInfo& executor) {
  if (executor.loaded) return executor.suspended ? "suspended" : "loaded";
  return executor.loading ? "loading" : "unloaded";
}

// Neither in memory, nor on its way there.
inline bool is_cold(const ExecutorInfo& executor) { return !executor.loaded && !executor.loading; }

}  // namespace choir::serve
