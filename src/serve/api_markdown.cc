#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "serve/fields.h"
#include "serve/json_in.h"
#include "serve/openapi.h"
#include "serve/schemas.h"
#include "serve/value_rule.h"

namespace choir::serve {
namespace {

constexpr std::string_view kIntroduction =
    "# The HTTP API\n"
    "\n"
    "All routes, fields and statuses of `choir serve`, written by `choir api --markdown` from the\n"
    "tables that the daemon works with. [openapi.json](openapi.json) says the same to programs, "
    "and\n"
    "`GET /openapi.json` of a running daemon gives it. [Serving](serving.md) explains the "
    "daemon.\n";

struct TableRoute {
  Routes route;
  std::string_view name;
};
constexpr auto kTableRoutes = std::to_array<TableRoute>({
    {kChat, "chat"},
    {kCompletion, "completions"},
    {kLlamaCompletion, "completion"},
    {kEmbeddings, "embeddings"},
});

// A cell of a table, in which '|' has a meaning.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& text : cells) out += " " + cell(text) + " |";
  return out + "\n";
}

std::string head(const std::vector<std::string>& cells) {
  std::string out = row(cells) + "|";
  for (std::size_t i = 0; i < cells.size(); ++i) out += "---|";
  return out + "\n";
}

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string names_of(const Field& field) {
  return code(field.name) + (field.alias.empty() ? "" : ", " + code(field.alias));
}

std::string routes_of(const Field& field) {
  std::string names;
  for (const TableRoute& route : kTableRoutes)
    if ((field.routes & route.route) != 0)
      names += (names.empty() ? "" : ", ") + std::string(route.name);
  return names;
}

std::string value_of(const ValueRule& rule, std::string_view schema) {
  const auto found = std::ranges::find(request_schemas(), schema, &Schema::name);
  if (found == request_schemas().end()) return takes(rule);
  return Json::parse(found->json).value("description", "");
}

std::string off_values(const Field& field) {
  std::string values;
  if (field.off.empty()) return "none";
  for (const Json& value : Json::parse(field.off))
    values += (values.empty() ? "" : ", ") + code(to_text(value));
  return values;
}

std::string section_of(Effect effect) {
  const bool acts = effect == Effect::kActs;
  std::string out = acts                      ? "\n### Those that act\n\n"
                    : effect == Effect::kNone ? "\n### Accepted without effect\n\n"
                                              : "\n### Refused by name, unless they are off\n\n";
  out += acts                      ? head({"field", "routes", "value", "meaning"})
         : effect == Effect::kNone ? head({"field", "routes", "why"})
                                   : head({"field", "routes", "accepted", "why"});
  for (const Field& field : fields()) {
    if (field.effect != effect) continue;
    std::vector<std::string> cells = {names_of(field), routes_of(field)};
    if (acts) cells.push_back(value_of({field.kind, field.least, field.most}, field.schema));
    if (effect == Effect::kRefused) cells.push_back(off_values(field));
    cells.emplace_back(field.meaning);
    out += row(cells);
  }
  return out;
}

std::string title_of(const Route& route) {
  return code(route.method + " " + path_with_names(route.path));
}

std::string routes_section(std::span<const Route> routes) {
  std::string out =
      "\n## Routes\n\n"
      "A key needs the scope. Without keys, `admin` is allowed over the unix socket only, and the\n"
      "others to every client of this machine. `HEAD` is answered where `GET` is.\n\n";
  out += head({"route", "scope", "what it does", "answer"});
  for (const Route& route : routes)
    if (route.documented)
      out += row({title_of(route), route.scopes == 0 ? "open" : scope_of(route),
                  std::string(route.summary),
                  route.reply.may_stream                    ? "JSON, or server-sent events"
                  : route.reply.type == "application/json"  ? "JSON"
                  : route.reply.type == "text/event-stream" ? "server-sent events"
                                                            : std::string(route.reply.type)});
  return out;
}

std::string own_fields_section(std::span<const Route> routes) {
  std::string out =
      "\n## Fields of other routes\n\n"
      "A route that is named neither here nor above takes no fields. Where a field has no row, "
      "Choir's own routes\n"
      "refuse it with the nearest name.\n";
  for (const Route& route : routes) {
    if (route.body.fields.empty() && route.query.empty() && route.headers.empty()) continue;
    out += "\n### " + title_of(route) + "\n\n" + head({"field", "value", "needed", "meaning"});
    const auto add = [&out](const char* in, std::span<const BodyField> fields) {
      for (const BodyField& field : fields)
        out += row({in + code(field.name), value_of(field.rule, field.schema),
                    field.required ? "yes" : "no", std::string(field.meaning)});
    };
    add("query ", route.query);
    add("header ", route.headers);
    add("", route.body.fields);
  }
  return out;
}

std::string statuses_section() {
  std::string out = "\n## Errors\n\n" + head({"status", "when", "header"});
  for (const StatusRow& status : error_statuses())
    out += row({std::to_string(status.status), std::string(status.when),
                status.header.empty() ? "" : code(status.header)});
  return out;
}

}  // namespace

std::string api_markdown(std::span<const Route> routes) {
  std::string out(kIntroduction);
  out += routes_section(routes);
  out +=
      "\n## Fields of chat, completions and embeddings\n\n"
      "`null` is as left out. A field that has no row is named in the header `x-choir-ignored`, "
      "and so is a\nmember of a message, of a part of one or of `stream_options` that is not known "
      "(`messages.0.foo`);\nwith `strict_fields` it is an error.\n";
  for (const Effect effect : {Effect::kActs, Effect::kNone, Effect::kRefused})
    out += section_of(effect);
  out += own_fields_section(routes);
  out += statuses_section();
  return out;
}

}  // namespace choir::serve
