// The fields of requests: one row for each, from which parsing, errors and the documentation come.
//
// A field is of one of three classes. *Acts*: it changes the answer. *No effect*: clients send it,
// and leaving it out gives the same answer. *Refused*: the answer would be another one than asked
// for, so the request is refused by the field's name, unless the field has its off value. A field
// that has no row is named in the reply's header x-choir-ignored, or is an error where
// `strict_fields` is true. null is as left out.
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

namespace choir::serve {

// The routes that take a body with fields; bits, because a field may be of several.
using Routes = std::uint8_t;
inline constexpr Routes kChat = 1;
inline constexpr Routes kCompletion = 2;
inline constexpr Routes kEmbeddings = 4;
inline constexpr Routes kGenerating = kChat | kCompletion;
inline constexpr Routes kAllRoutes = kGenerating | kEmbeddings;

enum class Effect : std::uint8_t { kActs, kNone, kRefused };
enum class Kind : std::uint8_t { kAny, kBoolean, kInteger, kNumber, kText, kList, kObject };

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
  // Of a field that is refused: whether the value is as good as left out.
  bool (*off)(const Json& value) = nullptr;
};

std::span<const Field> fields();
// By its name or its alias; null: the route has no such field.
const Field* field_named(Routes route, std::string_view name);

// Checks one value and sets what it is of, which `asked` then knows as given.
std::optional<ApiError> set_field(const Field& field, const Json& value, Asked& asked);

// "65535", "0.05": a limit as it is shown.
std::string number_text(double value);

// Reads all fields of a body. The first error is returned.
ApiResult<Asked> read_fields(Routes route, const Json& body);

}  // namespace choir::serve
