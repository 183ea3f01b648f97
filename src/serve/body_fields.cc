#include "serve/body_fields.h"

#include <algorithm>
#include <utility>

#include "choir/text.h"

namespace choir::serve {
namespace {

constexpr std::size_t kShown = 60;

std::string shown(const Json& value) { return printable_line(to_text(value), kShown); }

tl::unexpected<Error> wrong(std::string_view field, const std::string& what) {
  return fail(Code::kInvalidArgument, "'" + printable_line(field, kShown) + "' " + what);
}

tl::unexpected<Error> unknown(std::string_view field, const std::vector<std::string>& fields) {
  const auto near = nearest(field, fields);
  return wrong(field,
               "is no field of this route" + (near ? "; did you mean '" + *near + "'?" : ""));
}

// Null where it was left out.
const Json& value_in(const Json& body, std::string_view field) {
  static const Json& nothing = *new Json(nullptr);
  const auto found = body.find(field);
  return found == body.end() ? nothing : *found;
}

}  // namespace

Result<Json> body_with(const HttpRequest& request, const std::vector<std::string>& fields) {
  if (request.body.empty()) return Json::object();
  Json body = CHOIR_TRY(parse_json(request.body));
  if (!body.is_object()) return fail(Code::kInvalidArgument, "the body is no JSON object");
  for (const auto& [name, value] : body.items())
    if (std::ranges::find(fields, name) == fields.end()) return unknown(name, fields);
  return body;
}

Result<std::optional<std::int32_t>> whole_number_in(const Json& body, std::string_view field,
                                                    std::int32_t least) {
  const Json& value = value_in(body, field);
  if (value.is_null()) return std::nullopt;
  if (!value.is_number_integer() || value < least || value > INT32_MAX)
    return wrong(field,
                 "is " + shown(value) + "; it takes a whole number from " + std::to_string(least));
  return value.get<std::int32_t>();
}

Result<std::optional<std::string>> text_in(const Json& body, std::string_view field) {
  const Json& value = value_in(body, field);
  if (value.is_null()) return std::nullopt;
  if (!value.is_string()) return wrong(field, "is " + shown(value) + "; it takes a text");
  return value.get<std::string>();
}

Result<std::optional<bool>> flag_in(const Json& body, std::string_view field) {
  const Json& value = value_in(body, field);
  if (value.is_null()) return std::nullopt;
  if (!value.is_boolean()) return wrong(field, "is " + shown(value) + "; it takes true or false");
  return value.get<bool>();
}

Result<std::string> needed_text_in(const Json& body, std::string_view field) {
  auto text = CHOIR_TRY(text_in(body, field));
  if (!text || text->empty()) return wrong(field, "is missing; it takes a text");
  return *std::move(text);
}

Result<std::optional<std::vector<std::string>>> list_in_query(std::string_view query,
                                                              std::string_view field) {
  std::optional<std::vector<std::string>> list;
  while (!query.empty()) {
    std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const std::string_view name = pair.substr(0, pair.find('='));
    if (name != field) return unknown(name, {std::string(field)});
    pair.remove_prefix(std::min(pair.size(), name.size() + 1));
    list.emplace();
    while (!pair.empty()) {
      const std::string_view word = pair.substr(0, pair.find(','));
      pair.remove_prefix(std::min(pair.size(), word.size() + 1));
      if (!word.empty()) list->emplace_back(word);
    }
  }
  return list;
}

}  // namespace choir::serve
