// The header x-choir-ignored, which names the fields of a request that were ignored.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "serve/http.h"

namespace choir::serve {

// Unset where there is nothing to name. What cannot stand in a header is escaped as in a URL
// ("%C3%A4"); names for which there is no room are left out. Pure: any thread, does not block.
std::optional<Header> ignored_header(std::span<const std::string> names);

}  // namespace choir::serve
