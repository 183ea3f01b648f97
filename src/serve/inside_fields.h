// Members inside of the values of fields that no route reads: of a message, of a part of one, of
// the options of a stream, of an object with a prompt. Fields without such rules are not looked
// into.
//
// Pure: any thread, does not block.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"
#include "serve/json_in.h"
#include "serve/shape.h"

namespace choir::serve {

// So many are named; the others of a request would not fit into a header either.
inline constexpr std::size_t kInsideMost = 32;

struct UnknownInside {
  std::string place;  // "messages.0.foo"
  ApiError error;     // of a request that takes it for one
};

// Of these fields of a route of serve/fields.h. A member that is null is as left out, and one that
// several entries of a list have is named once, at its first place.
std::vector<UnknownInside> unknown_inside(Routes route, const Json& body);

}  // namespace choir::serve
