#include "serve/body_fields.h"

#include <algorithm>

#include "choir/text.h"
#include "serve/llama_values.h"

namespace choir::serve {

Result<std::optional<std::vector<std::string>>> list_in_query(std::string_view query,
                                                              std::string_view field) {
  std::optional<std::vector<std::string>> list;
  for (std::string_view rest = query; !rest.empty();) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::string_view name = pair.substr(0, pair.find('='));
    if (pair.empty() || name == field) continue;
    const std::vector<std::string> known = {std::string(field)};
    const auto near = nearest(name, known);
    return fail(Code::kInvalidArgument, "'" + printable_line(name, 60) +
                                            "' is no field of this route" +
                                            (near ? "; did you mean '" + *near + "'?" : ""));
  }
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

}  // namespace choir::serve
