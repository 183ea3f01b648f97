// An executor's configuration changes in two ways that do not know of each other: update() changes
// its settings, resize() its sizes. Each writes its own fields only, so neither undoes the other.
#pragma once

#include <optional>
#include <string_view>

#include "choir/config.h"

namespace choir {

// What Runtime::update() may change.
void take_settings(ExecutorConfig& to, const ExecutorConfig& from);
// What Runtime::resize() changes.
void take_sizes(ExecutorConfig& to, const ExecutorConfig& from);
// The first field besides settings in which the two differ.
std::optional<std::string_view> fixed_difference(const ExecutorConfig& one,
                                                 const ExecutorConfig& other);

}  // namespace choir
