// The state of a model, under the names that all routes, events and metrics have.
//
// Pure; any thread.
#pragma once

#include <array>
#include <string_view>

#include "choir/node.h"

namespace choir::serve {

inline constexpr std::array<std::string_view, 4> kModelStates = {"unloaded", "loading", "loaded",
                                                                 "suspended"};

inline std::string_view state_of(const ExecutorInfo& executor) {
  if (executor.loaded) return executor.suspended ? "suspended" : "loaded";
  return executor.loading ? "loading" : "unloaded";
}

// Neither in memory, nor on its way there.
inline bool is_cold(const ExecutorInfo& executor) { return !executor.loaded && !executor.loading; }

}  // namespace choir::serve
