// The header x-choir-ignored, which names the fields of a request that were ignored.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "serve/http.h"

namespace choir::serve {

// Unset where there is nothing to name. Names that cannot stand in a header are left out, and so
// are those for which there is no room. Pure: any thread, does not block.
std::optional<Header> ignored_header(std::span<const std::string> names);

}  // namespace choir::serve
