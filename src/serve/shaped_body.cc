#include "serve/shaped_body.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "serve/inside_fields.h"
#include "serve/value_rule.h"

namespace choir::serve {
namespace {

std::vector<std::string> names_of(const BodyShape& shape) {
  std::vector<std::string> names;
  for (const BodyField& field : shape.fields) names.emplace_back(field.name);
  return names;
}

bool has_messages(const BodyShape& shape) {
  return std::ranges::find(shape.fields, "Messages", &BodyField::schema) != shape.fields.end();
}

}  // namespace

ApiResult<Json> read_shaped_body(const BodyShape& shape, std::string_view body,
                                 std::vector<std::string>* ignored) {
  Json given = Json::object();
  if (!body.empty()) {
    auto json = parse_json(body);
    if (!json) return tl::unexpected(api_error(json.error()));
    given = std::move(*json);
  }
  if (!given.is_object())
    return tl::unexpected(api_error({Code::kInvalidArgument, "the body is no JSON object"}));
  constexpr const char* kStrict = "strict_fields";  // of a route that ignores others
  const bool may_ignore = shape.unknown == Unknown::kIgnored;
  const bool strict = !may_ignore || given.value(kStrict, Json(false)) == Json(true);
  Json read = Json::object();
  for (const auto& [name, value] : given.items()) {
    const auto field = std::ranges::find(shape.fields, name, &BodyField::name);
    if (field == shape.fields.end()) {
      if (may_ignore && name == kStrict) continue;
      if (strict) return tl::unexpected(unknown_field(name, names_of(shape)));
      if (ignored != nullptr) ignored->push_back(name);
    } else if (!value.is_null()) {
      if (!fits(field->rule, value))
        return tl::unexpected(wrong_value(field->name, field->rule, value));
      read[name] = std::move(value);
    }
  }
  for (UnknownInside& inside : unknown_inside(has_messages(shape) ? kChat : Routes{0}, read)) {
    if (strict) return tl::unexpected(std::move(inside.error));
    if (ignored != nullptr) ignored->push_back(std::move(inside.place));
  }
  for (const BodyField& field : shape.fields)
    if (field.required && !read.contains(std::string(field.name)))
      return tl::unexpected(field_error(field.name, "is missing; it takes " + takes(field.rule)));
  return read;
}

}  // namespace choir::serve
