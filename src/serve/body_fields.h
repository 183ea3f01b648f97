// Bodies of Choir's own routes: small JSON objects whose fields are all known. A field that is not
// is an error that names the nearest one.
//
// Pure: any thread, does not block. Errors are kInvalidArgument and name the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/result.h"
#include "serve/http.h"
#include "serve/json_in.h"

namespace choir::serve {

// The body, of which only these fields may be there; an empty object where it was left out.
Result<Json> body_with(const HttpRequest& request, const std::vector<std::string>& fields);

// Values of fields; nullopt where the field was left out or is null.
Result<std::optional<std::int32_t>> whole_number_in(const Json& body, std::string_view field,
                                                    std::int32_t least);
Result<std::optional<std::string>> text_in(const Json& body, std::string_view field);
Result<std::optional<bool>> flag_in(const Json& body, std::string_view field);
// One that must be there and must not be empty.
Result<std::string> needed_text_in(const Json& body, std::string_view field);

// "topics" of "topics=a,b&x=1" -> {"a", "b"}; nullopt where it is not in the query. An error where
// the query has another field.
Result<std::optional<std::vector<std::string>>> list_in_query(std::string_view query,
                                                              std::string_view field);

}  // namespace choir::serve
