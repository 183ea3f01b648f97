#include "serve/value_rule.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "choir/text.h"

namespace choir::serve {
namespace {

bool within(const ValueRule& rule, double value) {
  return std::isfinite(value) && value >= rule.least && value <= rule.most;
}

// 73 and 73.0 are the same number in JSON. One that is written whole is not compared as a double,
// which has no room for all whole numbers.
bool within_whole(const ValueRule& rule, const Json& value) {
  if (value.is_number_float())
    return value == std::floor(value.get<double>()) && within(rule, value.get<double>());
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) return false;
  const auto whole = value.get<std::int64_t>();
  return whole >= static_cast<std::int64_t>(rule.least) &&
         whole <= static_cast<std::int64_t>(rule.most);
}

bool is_token(const Json& value) { return fits({Kind::kInteger, 0, INT32_MAX}, value); }

// A part of a JSON pointer: '~' and '/' have a meaning in it.
std::string pointer_part(std::string_view name) {
  std::string part;
  for (const char c : name)
    part += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return part;
}

}  // namespace

std::string number_text(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e18)
    return std::to_string(static_cast<std::int64_t>(value));
  return Json(value).dump();
}

std::string takes(const ValueRule& rule) {
  const auto range = " from " + number_text(rule.least) + " to " + number_text(rule.most);
  switch (rule.kind) {
    case Kind::kAny:
      return "any value";
    case Kind::kBoolean:
      return "true or false";
    case Kind::kInteger:
      return "a whole number" + range;
    case Kind::kNumber:
      return "a number" + range;
    case Kind::kText:
      return (rule.least > 0 ? "a text of " + number_text(rule.least) + " to "
                             : "a text of at most ") +
             number_text(rule.most) + " bytes";
    case Kind::kList:
      return "a list";
    case Kind::kTokens:
      return "a list of tokens";
    case Kind::kTexts:
      return "a list of texts";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

bool fits(const ValueRule& rule, const Json& value) {
  switch (rule.kind) {
    case Kind::kAny:
      return true;
    case Kind::kBoolean:
      return value.is_boolean();
    case Kind::kInteger:
      return value.is_number() && within_whole(rule, value);
    case Kind::kNumber:
      return value.is_number() && within(rule, value.get<double>());
    case Kind::kText:
      return value.is_string() &&
             within(rule, static_cast<double>(value.get_ref<const std::string&>().size()));
    case Kind::kList:
      return value.is_array();
    case Kind::kTokens:
      return value.is_array() && std::ranges::all_of(value, is_token);
    case Kind::kTexts:
      return value.is_array() &&
             std::ranges::all_of(value, [](const Json& text) { return text.is_string(); });
    case Kind::kObject:
      return value.is_object();
  }
  return false;
}

ApiError wrong_value(std::string_view field, const ValueRule& rule, const Json& value) {
  if (value.is_array() && (rule.kind == Kind::kTokens || rule.kind == Kind::kTexts)) {
    const auto wrong = std::ranges::find_if(
        value, [&](const Json& one) { return !fits({rule.kind}, Json::array({one})); });
    if (wrong != value.end())
      return wrong_entry(field, static_cast<std::size_t>(wrong - value.begin()), *wrong, rule.kind);
  }
  return field_error(field,
                     "is " + printable_line(to_text(value), kShown) + "; it takes " + takes(rule));
}

ApiError wrong_entry(std::string_view list, std::size_t index, const Json& value, Kind kind) {
  return field_error(std::string(list) + "." + std::to_string(index),
                     "is " + printable_line(to_text(value), kShown) + "; it takes " +
                         (kind == Kind::kTokens ? "a token, which is a whole number from 0 to " +
                                                      std::to_string(INT32_MAX)
                                                : "a text"));
}

ApiError unknown_field(std::string_view name, std::span<const std::string> known) {
  const auto near = nearest(name, known);
  ApiError error =
      field_error(printable_line(name, kShown),
                  "is no field of this route" + (near ? "; did you mean '" + *near + "'?" : ""));
  error.code = "unknown_field";
  error.pointer = "/" + pointer_part(name);
  return error;
}

}  // namespace choir::serve
