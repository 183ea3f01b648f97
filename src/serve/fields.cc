#include "serve/fields.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "serve/field_values.h"
#include "serve/inside_fields.h"
#include "serve/value_rule.h"

namespace choir::serve {
namespace {

bool is_off(const Field& field, const Json& value) {
  const Json off = Json::parse(field.off, nullptr, /*allow_exceptions=*/false);
  return off.is_array() && std::ranges::find(off, value) != off.end();
}

// An error of what is inside of the value has the name of the row; the client may have used the
// other one.
void name_as_given(ApiError& error, const Field& field, const std::string& name) {
  if (name == field.name || !error.param.starts_with(field.name)) return;
  error.param.replace(0, field.name.size(), name);
  error.pointer.replace(1, field.name.size(), name);
  error.message.replace(1, field.name.size(), name);
}

std::optional<ApiError> read(const Field& field, const std::string& name, const Json& value,
                             Asked& asked) {
  if (field.effect == Effect::kNone) return std::nullopt;
  if (field.effect == Effect::kRefused) {
    if (is_off(field, value)) return std::nullopt;
    ApiError error = field_error(name, "is not possible: " + std::string(field.meaning));
    error.code = "unsupported_value";
    return error;
  }
  const ValueRule rule{field.kind, field.least, field.most};
  if (!fits(rule, value)) return wrong_value(name, rule, value);
  if (auto error = field.set(asked, value)) {
    name_as_given(*error, field, name);
    return error;
  }
  asked.given.push_back(field.name);
  return std::nullopt;
}

// llama.cpp's name has a row of its own.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kMoreNames = {
    {{"max_tokens", "n_predict"}, {"max_completion_tokens", "n_predict"}}};

// Two names of one field with different values.
std::optional<ApiError> check_names(Routes route, const Json& body) {
  const auto differ = [&](std::string_view one, std::string_view other) -> std::optional<ApiError> {
    const auto first = body.find(std::string(one));
    const auto second = body.find(std::string(other));
    if (first == body.end() || second == body.end() || first->is_null() || second->is_null() ||
        *first == *second)
      return std::nullopt;
    return field_error(other, "is " + to_text(*second) + " and '" + std::string(one) + "' is " +
                                  to_text(*first) + "; they are two names of one field, give one");
  };
  for (const Field& field : fields())
    if ((field.routes & route) != 0 && field.effect == Effect::kActs && !field.alias.empty())
      if (auto error = differ(field.name, field.alias)) return error;
  if ((route & kGenerating) == 0) return std::nullopt;
  for (const auto& [one, other] : kMoreNames)
    if (auto error = differ(one, other)) return error;
  return std::nullopt;
}

std::vector<std::string> names_of(Routes route) {
  std::vector<std::string> names;
  for (const Field& field : fields())
    if ((field.routes & route) != 0) names.emplace_back(field.name);
  return names;
}

}  // namespace

const Field* field_named(Routes route, std::string_view name) {
  if (name.empty()) return nullptr;  // as an alias that is not there
  for (const Field& field : fields())
    if ((field.routes & route) != 0 && (field.name == name || field.alias == name)) return &field;
  return nullptr;
}

std::optional<ApiError> set_field(const Field& field, const Json& value, Asked& asked) {
  return read(field, std::string(field.name), value, asked);
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
      if (auto error = read(*field, name, value, asked)) return tl::unexpected(std::move(*error));
    }
  }
  if (asked.strict_fields && !asked.ignored.empty())
    return tl::unexpected(unknown_field(asked.ignored.front(), names_of(route)));
  for (UnknownInside& inside : unknown_inside(route, body)) {
    if (asked.strict_fields) return tl::unexpected(std::move(inside.error));
    asked.ignored.push_back(std::move(inside.place));
  }
  if (auto error = check_names(route, body)) return tl::unexpected(std::move(*error));
  if (auto error = check_together(asked)) return tl::unexpected(std::move(*error));
  return asked;
}

}  // namespace choir::serve
