#include "serve/query.h"

#include <algorithm>
#include <charconv>

#include "choir/text.h"

namespace choir::serve {
namespace {

// With its escapes decoded; nullopt where one is none.
std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const auto byte = escaped_byte(text.substr(i + 1, 2));
    if (!byte) return std::nullopt;
    out += *byte;
    i += 2;
  }
  return out;
}

}  // namespace

std::optional<char> escaped_byte(std::string_view digits) {
  unsigned value = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (digits.size() != 2 || end.ptr != digits.data() + 2) return std::nullopt;
  return static_cast<char>(value);
}

std::string query_value(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = pair.find('=');
    if (pair.substr(0, equals) != key) continue;
    if (equals == std::string_view::npos) return "";
    return decoded(pair.substr(equals + 1)).value_or("");
  }
  return "";
}

Status has_only(std::string_view query, const std::vector<std::string>& fields) {
  for (std::string_view rest = query; !rest.empty();) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::string_view name = pair.substr(0, pair.find('='));
    if (pair.empty() || std::ranges::find(fields, name) != fields.end()) continue;
    const auto near = nearest(name, fields);
    return fail(Code::kInvalidArgument, "'" + printable_line(name, 60) +
                                            "' is no field of this route" +
                                            (near ? "; did you mean '" + *near + "'?" : ""));
  }
  return {};
}

Result<std::optional<std::vector<std::string>>> list_in_query(
    std::string_view query, std::string_view field,
    std::initializer_list<std::string_view> others) {
  std::optional<std::vector<std::string>> list;
  std::vector<std::string> known(others.begin(), others.end());
  known.emplace_back(field);
  CHOIR_CHECK_OK(has_only(query, known));
  if (query.empty()) return list;
  list.emplace();
  const std::string value = query_value(query, field);
  for (std::string_view words = value; !words.empty();) {
    const std::string_view word = words.substr(0, words.find(','));
    words.remove_prefix(std::min(words.size(), word.size() + 1));
    if (!word.empty()) list->emplace_back(word);
  }
  return list;
}

std::optional<std::int64_t> whole_number(std::string_view text, Bounds bounds) {
  std::int64_t number = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) return std::nullopt;
  if (number < bounds.least || number > bounds.most) return std::nullopt;
  return number;
}

std::string takes_whole_number(std::string_view text, Bounds bounds) {
  return "is '" + printable_line(text, 60) + "'; it takes a whole number from " +
         std::to_string(bounds.least) + " to " + std::to_string(bounds.most);
}

Result<std::int64_t> number_in_query(std::string_view query, std::string_view field, Bounds bounds,
                                     std::int64_t otherwise) {
  const std::string text = query_value(query, field);
  if (text.empty()) return otherwise;
  if (const auto number = whole_number(text, bounds)) return *number;
  return fail(Code::kInvalidArgument,
              "'" + std::string(field) + "' " + takes_whole_number(text, bounds));
}

}  // namespace choir::serve
