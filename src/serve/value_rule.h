// What a rule of serve/shape.h says of a value, and the errors that name a field.
//
// Pure: any thread, does not block.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/json_in.h"
#include "serve/shape.h"

namespace choir::serve {

// Characters of a wrong value, or of an unknown name, that an error shows.
inline constexpr std::size_t kShown = 60;

// "65535", "0.05": a limit as it is shown.
std::string number_text(double value);
// "a whole number from 1 to 256".
std::string takes(const ValueRule& rule);
bool fits(const ValueRule& rule, const Json& value);

// The value of a field is not what its rule says.
ApiError wrong_value(std::string_view field, const ValueRule& rule, const Json& value);

// An entry of a list of this kind, which is kTokens or kTexts, is none of these.
ApiError wrong_entry(std::string_view list, std::size_t index, const Json& value, Kind kind);

// A route has no field of this name, which comes from a client; `known` are those that it has.
ApiError unknown_field(std::string_view name, std::span<const std::string> known);

}  // namespace choir::serve
