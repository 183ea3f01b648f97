#include "serve/about_field.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace choir::serve {
namespace {

// "name" of "'name' is ..."; empty: the message does not begin so.
std::string_view quoted_name(std::string_view message) {
  if (!message.starts_with('\'')) return {};
  const std::size_t end = message.find('\'', 1);
  return end == std::string_view::npos ? "" : message.substr(1, end - 1);
}

void set_field(ApiError& error, std::string_view field) {
  ApiError named = field_error(field, "");
  error.param = std::move(named.param);
  error.pointer = std::move(named.pointer);
  if (error.code.empty()) error.code = std::move(named.code);
}

bool is_general(const ApiError& error) { return error.status == 400 && error.param.empty(); }

}  // namespace

ApiError about_body(ApiError error, std::span<const BodyField> fields) {
  const std::string name(quoted_name(error.message));
  if (is_general(error) && std::ranges::find(fields, name, &BodyField::name) != fields.end())
    set_field(error, name);
  return error;
}

ApiError about_query(ApiError error, std::span<const BodyField> fields) {
  constexpr std::string_view kUnknown = " is no field of this route";
  const std::string name(quoted_name(error.message));
  const bool unknown =
      !name.empty() &&
      std::string_view(error.message).substr(name.size() + 2).starts_with(kUnknown);
  if (is_general(error) && unknown) error.code = "unknown_field";
  if (is_general(error) &&
      (unknown || std::ranges::find(fields, name, &BodyField::name) != fields.end()))
    set_field(error, name);
  error.pointer.clear();
  return error;
}

ApiError about_prompt(const Error& error, std::string field, Several several) {
  ApiError about = api_error(error);
  const auto text = error.fact("text_index");
  const auto token = error.fact("token_index");
  std::erase_if(about.facts, [](const Fact& fact) {
    return fact.name == "text_index" || fact.name == "token_index";
  });
  if (!text && !token && error.code != Code::kTooLong) return about;
  if (text && several == Several::kYes) field += "." + std::to_string(*text);
  if (token) field += "." + std::to_string(*token);
  set_field(about, field);
  // The core's name of it: "texts[3]: ".
  const std::size_t named = about.message.find("]: ");
  if (text && named < about.message.find(' ')) about.message.erase(0, named + 3);
  if (text || token) about.message.insert(0, "'" + field + "': ");
  return about;
}

}  // namespace choir::serve
