// Reads the bodies of routes that declare their fields in rows of serve/shape.h.
//
// Pure: any thread, does not block.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"
#include "serve/json_in.h"
#include "serve/shape.h"

namespace choir::serve {

// An object with those fields of the shape that the body has; each value is as its rule says. No
// byte at all is as {}, and null is as left out. Else the first error: no JSON object, a field that
// is wrong, one that is missing, one that the route does not have. Where it ignores others,
// `ignored` gets their names.
ApiResult<Json> read_shaped_body(const BodyShape& shape, std::string_view body,
                                 std::vector<std::string>* ignored = nullptr);

}  // namespace choir::serve
