// Text we emit against the file that says how it looks.
#pragma once

#include <string>
#include <string_view>

namespace choir {

// Passes when tests/golden/`name` has exactly `text`. With CHOIR_UPDATE_GOLDEN=1 it writes the file
// instead: read the diff before you commit it.
void expect_golden(std::string_view name, const std::string& text);

}  // namespace choir
