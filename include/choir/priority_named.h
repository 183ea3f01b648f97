// A priority class by its name. Pure: any thread, does not block.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "choir/units.h"

namespace choir {

// "critical", "high", "normal" or "low"; nullopt for anything else.
constexpr std::optional<Priority> priority_named(std::string_view name) {
  for (std::size_t i = 0; i < kPriorityNames.size(); ++i)
    if (kPriorityNames.at(i) == name) return static_cast<Priority>(i);
  return std::nullopt;
}

}  // namespace choir
