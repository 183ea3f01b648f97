// Is this text UTF-8?
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace choir {

// Where the first byte sequence begins that is not a character: stray or missing continuation
// bytes, overlong forms, surrogates, code points above U+10FFFF. nullopt when all is UTF-8.
// Source: Unicode 15, table 3-7 (well-formed UTF-8 byte sequences).
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

}  // namespace choir
