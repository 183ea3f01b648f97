// The fields of requests: one row for each, from which parsing, errors and the documentation come.
//
// A field is of one of three classes. *Acts*: it changes the answer. *No effect*: clients send it,
// and leaving it out gives the same answer. *Refused*: the answer would be another one than asked
// for, so the request is refused by the field's name, unless the field has its off value. A field
// that has no row, or a member that serve/inside_fields.h does not know, is named in the reply's
// header x-choir-ignored, or is an error where `strict_fields` is true. null is as left out.
//
// Pure: any thread, does not block.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/asked.h"
#include "serve/json_in.h"
#include "serve/shape.h"

namespace choir::serve {

enum class Effect : std::uint8_t { kActs, kNone, kRefused };

struct Field {
  std::string_view name;
  std::string_view alias;  // another name of the same; may be empty
  Routes routes = kAllRoutes;
  Effect effect = Effect::kNone;
  Kind kind = Kind::kAny;
  double least = 0;  // of a number; of a text, its bytes
  double most = 0;
  std::string_view meaning;
  // Of a field that acts. The value has the kind and is within least and most.
  std::optional<ApiError> (*set)(Asked& asked, const Json& value) = nullptr;
  // Of a field that is refused: the values that are as good as left out, as a JSON list.
  std::string_view off = {};
  // Of a field whose kind and limits do not say all: a name of serve/schemas.h.
  std::string_view schema = {};
};

std::span<const Field> fields();
// By its name or its alias; null: the route has no such field.
const Field* field_named(Routes route, std::string_view name);

// Checks one value and sets what it is of, which `asked` then knows as given.
std::optional<ApiError> set_field(const Field& field, const Json& value, Asked& asked);

// Reads all fields of a body. The first error is returned.
ApiResult<Asked> read_fields(Routes route, const Json& body);

}  // namespace choir::serve
