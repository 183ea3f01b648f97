// The document of the HTTP API, made from the tables that the daemon works with: the routes of the
// router, the fields of bodies (serve/fields.h, serve/shape.h), and the schemas.
//
// Pure: any thread, does not block.
#pragma once

#include <span>
#include <string>

#include "serve/router.h"

namespace choir::serve {

// OpenAPI 3.1, as JSON with a line break at its end. The scope that a route needs is
// x-choir-scope; the class of a field is x-choir-class.
std::string openapi_text(std::span<const Route> routes);

// The same for people, as Markdown (serve/api_markdown.cc).
std::string api_markdown(std::span<const Route> routes);

// The names of all fields, as a dictionary of libFuzzer.
std::string fuzz_dictionary(std::span<const Route> routes);

// Adds GET /openapi.json, which describes the routes that are there, and itself.
void add_openapi(Router& router);

// ---- what both documents say

// "/choir/v1/models/*/load" -> "/choir/v1/models/{model}/load".
std::string path_with_names(std::string_view path);
// "view"; empty: the route is open.
std::string scope_of(const Route& route);

struct StatusRow {
  int status;
  std::string_view when;
  std::string_view header = {};  // that may come with it
};
std::span<const StatusRow> error_statuses();
// Whether a request of this route may be answered so, apart from what is wrong with its HTTP.
bool may_answer(const Route& route, int status);

}  // namespace choir::serve
