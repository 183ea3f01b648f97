// The named JSON Schemas of the API: of values in bodies whose kind and limits do not say all, and
// of what routes answer.
//
// Values; any thread.
#pragma once

#include <span>
#include <string_view>

namespace choir::serve {

struct Schema {
  std::string_view name;
  std::string_view json;  // refers to others as "#/components/schemas/NAME"
};

std::span<const Schema> request_schemas();  // each with "description" and "examples"
std::span<const Schema> reply_schemas();

}  // namespace choir::serve
