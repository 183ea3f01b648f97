// The query of a path: what follows '?'.
//
// Pure: any thread, does not block.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/result.h"

namespace choir::serve {

// The byte of an escape, of which these are the two digits ("2F" -> '/').
std::optional<char> escaped_byte(std::string_view digits);

// The value of a key in the query of a path ("model=a%20b&x=1"); empty: it is not there, or has an
// escape that is none.
std::string query_value(std::string_view query, std::string_view key);

// An error where the query has a field that is none of these.
Status has_only(std::string_view query, const std::vector<std::string>& fields);

struct Bounds {
  std::int64_t least;
  std::int64_t most;
};

// The number that a text of a query or a header is; nullopt: it is none within the bounds, and
// takes_whole_number() says so behind the field's name.
std::optional<std::int64_t> whole_number(std::string_view text, Bounds bounds);
std::string takes_whole_number(std::string_view text, Bounds bounds);

// The whole number of one field; `otherwise` where the query leaves it out. An error that names the
// value and the bounds where it is none of them.
Result<std::int64_t> number_in_query(std::string_view query, std::string_view field, Bounds bounds,
                                     std::int64_t otherwise);

// The list of one field. `others`: what else the route takes.
// "topics" of "topics=a,b&x=1" -> {"a", "b"}; nullopt where it is not in the query. An error where
// the query has another field.
Result<std::optional<std::vector<std::string>>> list_in_query(
    std::string_view query, std::string_view field,
    std::initializer_list<std::string_view> others = {});

}  // namespace choir::serve
