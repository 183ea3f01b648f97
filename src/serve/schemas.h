// The named JSON Schemas of the API: of values in bodies whose kind and limits do not say all, and
// of what routes answer.
//
// Values; any thread.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace choir::serve {

struct Schema {
  std::string_view name;
  std::string_view json;  // refers to others as "#/components/schemas/NAME"
};

std::span<const Schema> request_schemas();      // each with "description" and "examples"
std::span<const Schema> reply_schemas();        // of OpenAI's and llama.cpp's routes
std::span<const Schema> own_reply_schemas();    // of Choir's own
std::span<const Schema> request_row_schemas();  // of those about requests
std::span<const Schema> event_schemas();        // of /choir/v1/events

// All of these.
inline std::array<std::span<const Schema>, 5> all_schemas() {
  return {request_schemas(), reply_schemas(), own_reply_schemas(), request_row_schemas(),
          event_schemas()};
}

}  // namespace choir::serve
