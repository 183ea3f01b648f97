// JSON from outside, read within limits.
//
// Pure: any thread, does not block.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "choir/result.h"

namespace choir::serve {

using Json = nlohmann::json;

struct JsonLimits {
  std::size_t depth_max = 64;
  std::size_t values_max = 200'000;
  std::size_t number_characters_max = 64;
};

// The value of a text. kInvalidArgument, with what is wrong and where: no JSON, not UTF-8, a key
// that is there twice, more than the limits allow.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// A text that is no UTF-8 is written with replacement characters.
std::string to_text(const Json& json);

}  // namespace choir::serve
