// Which field of the request an error is about, where the one who made it knew only a part of that.
//
// Pure: any thread, does not block.
#pragma once

#include <span>
#include <string>

#include "serve/api_error.h"
#include "serve/shape.h"

namespace choir::serve {

// The error of a route with these fields. A message that begins with the name of one in quotes, as
// field_error() writes it, is about that field; other errors stay as they are.
ApiError about_body(ApiError error, std::span<const BodyField> fields);
// The same of the query, which also takes what has_only() of serve/query.h says. JSON pointers are
// for bodies, so the error has none.
ApiError about_query(ApiError error, std::span<const BodyField> fields);

// An error of the core about what `field` ("prompt", "input.3") has: one that says which text of
// several, or which token, names that ("prompt.2"), and one of its length names the field.
// `several`: the field is the list of the texts that the core counts.
enum class Several : bool { kNo, kYes };
ApiError about_prompt(const Error& error, std::string field, Several several = Several::kNo);

}  // namespace choir::serve
