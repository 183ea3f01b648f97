#include "serve/fields.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "choir/text.h"
#include "serve/field_values.h"

namespace choir::serve {
namespace {

constexpr std::size_t kShown = 60;  // characters of a wrong value

std::string takes(const Field& field) {
  const auto range = " from " + number_text(field.least) + " to " + number_text(field.most);
  switch (field.kind) {
    case Kind::kAny:
      return "any value";
    case Kind::kBoolean:
      return "true or false";
    case Kind::kInteger:
      return "a whole number" + range;
    case Kind::kNumber:
      return "a number" + range;
    case Kind::kText:
      return "a text of at most " + number_text(field.most) + " bytes";
    case Kind::kList:
      return "a list";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

bool within(const Field& field, double value) {
  return std::isfinite(value) && value >= field.least && value <= field.most;
}

bool fits(const Field& field, const Json& value) {
  switch (field.kind) {
    case Kind::kAny:
      return true;
    case Kind::kBoolean:
      return value.is_boolean();
    case Kind::kInteger:
      return value.is_number_integer() && within(field, value.get<double>());
    case Kind::kNumber:
      return value.is_number() && within(field, value.get<double>());
    case Kind::kText:
      return value.is_string() &&
             within(field, static_cast<double>(value.get_ref<const std::string&>().size()));
    case Kind::kList:
      return value.is_array();
    case Kind::kObject:
      return value.is_object();
  }
  return false;
}

std::string unknown(Routes route, const std::string& name) {
  std::vector<std::string> known;
  for (const Field& field : fields())
    if ((field.routes & route) != 0) known.emplace_back(field.name);
  const auto near = nearest(name, known);
  return "is no field of this route" + (near ? "; did you mean '" + *near + "'?" : std::string());
}

}  // namespace

std::string number_text(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15)
    return std::to_string(static_cast<std::int64_t>(value));
  return Json(value).dump();
}

const Field* field_named(Routes route, std::string_view name) {
  for (const Field& field : fields())
    if ((field.routes & route) != 0 && (field.name == name || field.alias == name)) return &field;
  return nullptr;
}

std::optional<ApiError> set_field(const Field& field, const Json& value, Asked& asked) {
  if (field.effect == Effect::kNone) return std::nullopt;
  if (field.effect == Effect::kRefused) {
    if (field.off != nullptr && field.off(value)) return std::nullopt;
    ApiError error = field_error(field.name, "is not possible: " + std::string(field.meaning));
    error.code = "unsupported_value";
    return error;
  }
  if (!fits(field, value))
    return field_error(
        field.name, "is " + printable_line(to_text(value), kShown) + "; it takes " + takes(field));
  if (auto error = field.set(asked, value)) return error;
  asked.given.push_back(field.name);
  return std::nullopt;
}

ApiResult<Asked> read_fields(Routes route, const Json& body) {
  if (!body.is_object())
    return tl::unexpected(api_error({Code::kInvalidArgument, "the body is no JSON object"}));
  Asked asked;
  for (const auto& [name, value] : body.items()) {
    const Field* field = field_named(route, name);
    if (field == nullptr) {
      asked.ignored.push_back(name);
    } else if (!value.is_null()) {
      if (auto error = set_field(*field, value, asked)) return tl::unexpected(std::move(*error));
    }
  }
  if (asked.strict_fields && !asked.ignored.empty()) {
    ApiError error = field_error(asked.ignored.front(), unknown(route, asked.ignored.front()));
    error.code = "unknown_field";
    return tl::unexpected(std::move(error));
  }
  return asked;
}

}  // namespace choir::serve
