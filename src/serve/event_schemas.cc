// What the events of GET /choir/v1/events say (docs/serving.md), whole: a test compares it with
// what is sent.
#include <array>

#include "serve/schemas.h"

namespace choir::serve {
namespace {

constexpr auto kEventSchemas = std::to_array<Schema>({
    {"NodeEvent", R"({
  "description": "an event of /choir/v1/events; the data of ping and bye is {}",
  "type": "object", "required": ["event", "data"],
  "properties": {
    "event": {"enum": ["hello", "snapshot", "delta", "turns", "log", "ping", "bye"]},
    "id": {"type": "string", "description": "the number of a frame, behind which a reader can go on"},
    "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": {"anyOf": [
      {"$ref": "#/components/schemas/HelloEvent"},
      {"$ref": "#/components/schemas/StateFrame"},
      {"$ref": "#/components/schemas/RequestsFrame"},
      {"$ref": "#/components/schemas/TurnsFrame"},
      {"$ref": "#/components/schemas/LogFrame"},
      {"type": "object"}]}}}
})"},
    {"HelloEvent", R"({
  "type": "object", "required": ["epoch", "version", "now_ms", "tenant", "scopes", "topics", "resumed"],
  "properties": {
    "epoch": {"type": "string", "description": "another one: the daemon has begun anew"},
    "version": {"type": "string"},
    "now_ms": {"type": "integer", "description": "the daemon's clock, since 1970"},
    "tenant": {"type": "string"},
    "scopes": {"type": "array", "items": {"type": "string"}},
    "topics": {"type": "array", "items": {"enum": ["state", "requests", "log", "turns"]}},
    "resumed": {"type": "boolean",
      "description": "it goes on behind the last frame of the connection before"}}
})"},
    {"EventModel", R"({
  "type": "object",
  "allOf": [{"$ref": "#/components/schemas/ModelRow"}],
  "required": ["leases"],
  "properties": {"leases": {"type": "array", "items": {"type": "string"},
    "description": "tenants that keep it in memory"}}
})"},
    {"EventRequest", R"({
  "type": "object",
  "allOf": [{"$ref": "#/components/schemas/RequestRow"}],
  "required": ["submitted_ms"],
  "properties": {"submitted_ms": {"type": "integer", "description": "since 1970"}}
})"},
    {"StateFrame", R"({
  "description": "a snapshot has rows, a delta set, changed and gone; a changed row has its name and what is not as before",
  "type": "object", "required": ["topic"],
  "properties": {
    "topic": {"const": "state"},
    "rows": {"type": "array", "items": {"$ref": "#/components/schemas/EventModel"}},
    "set": {"type": "array", "items": {"$ref": "#/components/schemas/EventModel"}},
    "changed": {"type": "array", "items": {"type": "object", "required": ["name"],
      "properties": {"name": {"type": "string"}}, "additionalProperties": true}},
    "gone": {"type": "array", "items": {"type": "string"}},
    "rest": {"type": "object", "required": ["node"],
      "properties": {"node": {"$ref": "#/components/schemas/Node"}}}}
})"},
    {"RequestsFrame", R"({
  "description": "as StateFrame; a changed row has its id",
  "type": "object", "required": ["topic"],
  "properties": {
    "topic": {"const": "requests"},
    "rows": {"type": "array", "items": {"$ref": "#/components/schemas/EventRequest"}},
    "set": {"type": "array", "items": {"$ref": "#/components/schemas/EventRequest"}},
    "changed": {"type": "array", "items": {"type": "object", "required": ["id"],
      "properties": {"id": {"type": "string"}}, "additionalProperties": true}},
    "gone": {"type": "array", "items": {"type": "string"}}}
})"},
    {"TurnsFrame", R"({
  "type": "object", "required": ["topic", "now_us", "from_us", "lanes"],
  "properties": {
    "topic": {"const": "turns"},
    "now_us": {"type": "integer", "description": "since the daemon began"},
    "from_us": {"type": "integer",
      "description": "since then the frame tells all turns but the missing ones; that of the frame before, where nothing is left out"},
    "lanes": {"type": "array", "items": {
      "type": "object", "required": ["lane", "threads", "missing", "blocks"],
      "properties": {
        "lane": {"type": "integer"},
        "threads": {"type": "integer"},
        "missing": {"type": "integer", "description": "turns that are not told"},
        "blocks": {
          "description": "begin_us, length_us, model, prompt rows, decode rows, class, turns merged into it, threads that computed, why it had this turn: 0 nothing else had work, 1 its shares, 2 its class, 3 it had waited",
          "type": "array", "items": {
            "type": "array", "minItems": 9, "maxItems": 9, "prefixItems": [
              {"type": "integer"}, {"type": "integer"}, {"type": "string"}, {"type": "integer"},
              {"type": "integer"}, {"$ref": "#/components/schemas/PriorityName"},
              {"type": "integer"}, {"type": "integer"}, {"type": "integer", "minimum": 0, "maximum": 3}]}}}}}}
})"},
    {"LogFrame", R"({
  "type": "object", "required": ["topic", "lines", "dropped"],
  "properties": {
    "topic": {"const": "log"},
    "lines": {"type": "array", "items": {
      "type": "object", "required": ["unix_ms", "level", "text"],
      "properties": {
        "unix_ms": {"type": "integer"},
        "level": {"enum": ["debug", "info", "warn", "error", "off"]},
        "text": {"type": "string"}}}},
    "dropped": {"type": "integer", "description": "lines that came too fast"}}
})"},
});

}  // namespace

std::span<const Schema> event_schemas() { return kEventSchemas; }

}  // namespace choir::serve
