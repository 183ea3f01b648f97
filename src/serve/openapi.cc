#include "serve/openapi.h"

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "choir/machine.h"
#include "serve/fields.h"
#include "serve/schemas.h"

namespace choir::serve {
namespace {

using Doc = nlohmann::ordered_json;  // readers want "openapi" first

constexpr auto kStatuses = std::to_array<StatusRow>({
    {400,
     "A field is wrong (`param` and `pointer` say which), the prompt is too long, or the "
     "bytes are not HTTP/1.1"},
    {401, "A key is needed, or the key is not known", "www-authenticate"},
    {403,
     "The key lacks the scope, or may not ask for the class; or a page of another origin "
     "sent the request"},
    {404, "There is no such model, request or path; the message names the nearest"},
    {405, "The path does not have the method", "allow"},
    {408, "The request came too slowly"},
    {409, "The state does not allow it"},
    {413, "The body is too long"},
    {414, "The request line is too long"},
    {415, "The body is not JSON"},
    {417, "Expect is not 100-continue"},
    {421, "The header Host names another machine"},
    {429, "The queue is full", "retry-after"},
    {431, "The headers are too long, or too many"},
    {500, "The engine failed"},
    {501, "Transfer-Encoding is not chunked"},
    {503, "The model does not fit, the daemon ends, or the request was cancelled", "retry-after"},
    {504, "The deadline of the request"},
    {505, "The version is not HTTP/1.1 or HTTP/1.0"},
});

constexpr std::string_view kIntroduction =
    "Choir serves the models of one node. Bodies are JSON; another content type than "
    "application/json, that of curl -d, or none is refused. null is as left out. Where the daemon "
    "has keys, a request over TCP needs one; without keys it needs none, and what needs the scope "
    "admin is allowed over the unix socket only.";

Doc ref(std::string_view name) { return {{"$ref", "#/components/schemas/" + std::string(name)}}; }

// ---- values -------------------------------------------------------------------------------------

Doc number(double value) {
  const auto whole = static_cast<std::int64_t>(value);
  return static_cast<double>(whole) == value ? Doc(whole) : Doc(value);
}

Doc schema_of(const ValueRule& rule) {
  const auto bounded = [&](const char* type, const char* least, const char* most) {
    Doc schema = {{"type", type}};
    if (rule.least != 0 || rule.kind != Kind::kText) schema[least] = number(rule.least);
    schema[most] = number(rule.most);
    return schema;
  };
  switch (rule.kind) {
    case Kind::kAny:
      return Doc::object();
    case Kind::kBoolean:
      return {{"type", "boolean"}};
    case Kind::kInteger:
      return bounded("integer", "minimum", "maximum");
    case Kind::kNumber:
      return bounded("number", "minimum", "maximum");
    case Kind::kText:
      return bounded("string", "minLength", "maxLength");
    case Kind::kList:
      return {{"type", "array"}};
    case Kind::kTokens:
      return {{"type", "array"}, {"items", ref("Token")}};
    case Kind::kTexts:
      return {{"type", "array"}, {"items", {{"type", "string"}}}};
    case Kind::kObject:
      return {{"type", "object"}};
  }
  return Doc::object();
}

Doc or_null(Doc schema) {
  if (schema.empty()) return schema;
  if (schema.contains("type")) {
    schema["type"] = Doc::array({schema["type"], "null"});
    return schema;
  }
  return {{"anyOf", Doc::array({std::move(schema), {{"type", "null"}}})}};
}

Doc value_schema(const ValueRule& rule, std::string_view name) {
  return name.empty() ? schema_of(rule) : ref(name);
}

std::string_view class_name(Effect effect) {
  switch (effect) {
    case Effect::kActs:
      return "acts";
    case Effect::kNone:
      return "no effect";
    case Effect::kRefused:
      return "refused";
  }
  return "";
}

// Of the fields without which the route refuses the body.
bool is_needed(const Field& field) {
  return field.name == "messages" || field.name == "prompt" || field.name == "input";
}

Doc field_schema(const Field& field) {
  Doc schema;
  if (field.effect == Effect::kRefused) {
    Doc off = field.off.empty() ? Doc::array() : Doc::parse(field.off);
    off.push_back(nullptr);
    schema = {{"enum", std::move(off)}};
  } else {
    schema = value_schema({field.kind, field.least, field.most}, field.schema);
    if (!is_needed(field)) schema = or_null(std::move(schema));
  }
  schema["description"] = field.meaning;
  schema["x-choir-class"] = class_name(field.effect);
  return schema;
}

// ---- bodies -------------------------------------------------------------------------------------

Doc table_schema(Routes table) {
  Doc properties = Doc::object();
  Doc required = Doc::array();
  for (const Field& field : fields()) {
    if ((field.routes & table) == 0) continue;
    Doc schema = field_schema(field);
    if (is_needed(field)) required.push_back(field.name);
    if (!field.alias.empty()) {
      Doc other = schema;
      other["description"] = "Another name of " + std::string(field.name);
      properties[std::string(field.alias)] = std::move(other);
    }
    properties[std::string(field.name)] = std::move(schema);
  }
  return {
      {"type", "object"}, {"properties", std::move(properties)}, {"required", std::move(required)}};
}

Doc shape_schema(const BodyShape& shape) {
  Doc properties = Doc::object();
  Doc required = Doc::array();
  for (const BodyField& field : shape.fields) {
    Doc schema = value_schema(field.rule, field.schema);
    if (field.required)
      required.push_back(field.name);
    else
      schema = or_null(std::move(schema));
    schema["description"] = field.meaning;
    properties[std::string(field.name)] = std::move(schema);
  }
  Doc schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  if (shape.unknown == Unknown::kRefused) schema["additionalProperties"] = false;
  return schema;
}

bool may_be_left_out(const BodyShape& shape) {
  return shape.table == 0 && std::ranges::none_of(shape.fields, &BodyField::required);
}

Doc request_body(const Route& route) {
  return {{"required", !may_be_left_out(route.body)},
          {"content",
           {{"application/json",
             {{"schema", route.body.table != 0 ? table_schema(route.body.table)
                                               : shape_schema(route.body)}}}}}};
}

// ---- operations ---------------------------------------------------------------------------------

Doc header(std::string_view description) {
  return {{"description", description}, {"schema", {{"type", "string"}}}};
}

Doc success(const Route& route) {
  const std::string type(route.reply.type);
  Doc content = Doc::object();
  const Doc schema = route.reply.type == "text/event-stream"  ? ref(route.reply.event)
                     : route.reply.type != "application/json" ? Doc{{"type", "string"}}
                     : route.reply.schema.empty()             ? Doc::object()
                                                              : ref(route.reply.schema);
  content[type] = {{"schema", schema}};
  if (route.reply.may_stream) content["text/event-stream"] = {{"schema", ref(route.reply.event)}};
  Doc reply = {{"description", "The answer"}, {"content", std::move(content)}};
  if (route.body.table != 0 || route.body.unknown == Unknown::kIgnored)
    reply["headers"]["x-choir-ignored"] =
        header("fields of the body that are in no class, escaped as in a URL");
  if (route.reply.may_stream) {
    reply["headers"]["x-choir-max-tokens"] = header("what max_tokens was lowered to");
    reply["headers"]["x-choir-template"] =
        header("default: the model has no chat template of its own");
  }
  return reply;
}

std::string operation_id(const Route& route) {
  std::string id = lower_case(route.method);
  for (const char c : path_with_names(route.path))
    if (c != '{' && c != '}') id += c == '/' || c == '.' ? '_' : c;
  return id;
}

std::string_view tag_of(const Route& route) {
  if (route.path.starts_with("/v1/")) return "OpenAI";
  return route.path.starts_with("/choir/") ? "Choir" : "llama.cpp and operation";
}

// A part of a path that is no "." or ".." and has no control character.
constexpr std::string_view kSegment = "^[^./\\u0000-\\u001f\\u007f][^/\\u0000-\\u001f\\u007f]*$";

Doc parameter(std::string_view name, const char* in, Doc schema) {
  return {{"name", name},
          {"in", in},
          {"required", std::string_view(in) == "path"},
          {"schema", std::move(schema)}};
}

Doc operation(const Route& route) {
  Doc out = {{"operationId", operation_id(route)},
             {"tags", Doc::array({tag_of(route)})},
             {"summary", route.summary}};
  Doc parameters = Doc::array();
  const std::string named = path_with_names(route.path);
  if (const std::size_t brace = named.find('{'); brace != std::string::npos)
    parameters.push_back(parameter(
        named.substr(brace + 1, named.find('}') - brace - 1), "path",
        {{"type", "string"}, {"minLength", 1}, {"maxLength", 256}, {"pattern", kSegment}}));
  for (const BodyField& field : route.query) {
    parameters.push_back(parameter(field.name, "query", value_schema(field.rule, field.schema)));
    parameters.back()["required"] = field.required;
    parameters.back()["description"] = field.meaning;
  }
  for (const BodyField& field : route.headers) {
    parameters.push_back(parameter(field.name, "header", value_schema(field.rule, field.schema)));
    parameters.back()["description"] = field.meaning;
  }
  if (!parameters.empty()) out["parameters"] = std::move(parameters);
  if (route.body.table != 0 || !route.body.fields.empty()) out["requestBody"] = request_body(route);
  Doc responses = {{"200", success(route)}};
  for (const StatusRow& row : kStatuses)
    if (may_answer(route, row.status))
      responses[std::to_string(row.status)] = {
          {"$ref", "#/components/responses/" + std::to_string(row.status)}};
  out["responses"] = std::move(responses);
  out["security"] = route.scopes == 0 ? Doc::array()
                                      : Doc::array({{{"bearer", Doc::array()}},
                                                    {{"x_api_key", Doc::array()}},
                                                    {{"api_key", Doc::array()}}});
  if (route.scopes != 0) out["x-choir-scope"] = scope_of(route);
  return out;
}

Doc components() {
  Doc schemas = Doc::object();
  for (const auto all : all_schemas())
    for (const Schema& schema : all) schemas[std::string(schema.name)] = Doc::parse(schema.json);
  Doc responses = Doc::object();
  for (const StatusRow& row : kStatuses) {
    Doc response = {{"description", row.when},
                    {"content", {{"application/json", {{"schema", ref("Error")}}}}}};
    if (!row.header.empty())
      response["headers"] = Doc{{std::string(row.header), {{"schema", {{"type", "string"}}}}}};
    responses[std::to_string(row.status)] = std::move(response);
  }
  const auto key_in = [](const char* name) -> Doc {
    return {{"type", "apiKey"}, {"in", "header"}, {"name", name}};
  };
  return {{"schemas", std::move(schemas)},
          {"responses", std::move(responses)},
          {"securitySchemes",
           {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
            {"x_api_key", key_in("x-api-key")},
            {"api_key", key_in("api-key")}}}};
}

}  // namespace

std::string path_with_names(std::string_view path) {
  const std::size_t star = path.find('*');
  if (star == std::string_view::npos) return std::string(path);
  const std::size_t slash = path.rfind('/', star < 2 ? 0 : star - 2);
  std::string_view noun = path.substr(slash + 1, star - slash - 2);
  if (noun.ends_with('s')) noun.remove_suffix(1);
  return std::string(path.substr(0, star)) + "{" + std::string(noun) + "}" +
         std::string(path.substr(star + 1));
}

std::string scope_of(const Route& route) {
  std::string names;
  for (const std::string_view name : kScopeNames)
    if ((*scope_named(name) & route.scopes) != 0)
      names += (names.empty() ? "" : " ") + std::string(name);
  return names;
}

std::span<const StatusRow> error_statuses() { return kStatuses; }

bool may_answer(const Route& route, int status) {
  const bool reads = route.method == "GET";
  switch (status) {
    case 400:
    case 408:
    case 414:
    case 421:
    case 431:
    case 503:
      return true;
    case 401:
    case 429:
      return route.scopes != 0 || route.checks_key;
    case 403:
      return route.scopes != 0 || !reads;
    case 500:
      return route.scopes != 0;
    case 404:
      return (route.checks_key && route.method == "DELETE") ||
             route.path.find('*') != std::string::npos || route.body.table != 0 ||
             !route.query.empty() ||
             std::ranges::find(route.body.fields, "model", &BodyField::name) !=
                 route.body.fields.end();
    case 409:
      return (route.scopes & kAdmin) != 0;
    case 413:
    case 415:
      return !reads;
    case 504:
      return (route.scopes & kInfer) != 0;
    default:
      return false;
  }
}

std::string openapi_text(std::span<const Route> routes) {
  Doc paths = Doc::object();
  for (const Route& route : routes)
    if (route.documented)
      paths[path_with_names(route.path)][lower_case(route.method)] = operation(route);
  const Doc document = {
      {"openapi", "3.1.0"},
      {"info", {{"title", "Choir"}, {"version", version().choir}, {"description", kIntroduction}}},
      {"servers", Doc::array({{{"url", "http://127.0.0.1:8411"}}})},
      {"paths", std::move(paths)},
      {"components", components()}};
  return document.dump(2) + "\n";
}

std::string fuzz_dictionary(std::span<const Route> routes) {
  std::set<std::string> names;
  for (const Field& field : fields())
    for (const std::string_view name : {field.name, field.alias})
      if (!name.empty()) names.emplace(name);
  for (const Route& route : routes)
    for (const BodyField& field : route.body.fields) names.emplace(field.name);
  std::string out = "# Names of fields. Written by `choir api --fuzz-dictionary`.\n";
  for (const std::string& name : names) out += "\"\\\"" + name + "\\\":\"\n";
  return out;
}

void add_openapi(Router& router) {
  const auto text = std::make_shared<std::string>();
  router.add(
      {.method = "GET",
       .path = "/openapi.json",
       .summary = "Describes the API, as OpenAPI 3.1",
       .scopes = 0,
       .handler = [text](const HttpRequest&, const Wake&) { return reply_with_json(200, *text); }});
  *text = openapi_text(router.routes());
}

}  // namespace choir::serve
