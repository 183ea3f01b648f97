// Requests as Choir's own routes show them: those that wait and run, and those that have ended.
#include <array>

#include "serve/schemas.h"

namespace choir::serve {
namespace {

constexpr auto kRequestRowSchemas = std::to_array<Schema>({
    {"RequestRow", R"({
  "type": "object",
  "required": ["id", "model", "tenant", "priority", "state", "waits_for", "prompt_tokens",
    "prompt_tokens_done", "reused_tokens", "output_tokens", "held_seconds"],
  "properties": {
    "id": {"type": "string"},
    "model": {"type": "string"},
    "tenant": {"type": "string"},
    "priority": {"$ref": "#/components/schemas/PriorityName"},
    "state": {"enum": ["loading", "waiting", "prefill", "decode", "parked", "suspended",
      "reader_behind", "ending"]},
    "waits_for": {"enum": ["nothing", "load", "earlier_turn", "company", "resume", "reader",
      "other_request", "slot", "batch", "cells", "turn"]},
    "prompt_tokens": {"type": "integer", "description": "0: not known yet"},
    "prompt_tokens_done": {"type": "integer", "description": "computed, or found from before"},
    "reused_tokens": {"type": "integer", "description": "of the prompt: found from before"},
    "output_tokens": {"type": "integer", "description": "so far"},
    "held_seconds": {"type": "number", "description": "it waited for so long until its model took it: for a load, or an earlier turn"},
    "queue_seconds": {"type": "number", "description": "from submission to its first pass, once it has begun"},
    "first_token_seconds": {"type": "number", "description": "from submission to its first token, once there is one"},
    "why": {"type": "object", "required": ["reason", "text"],
      "description": "while it waits: the reason, its numbers, and a sentence",
      "properties": {
        "reason": {"enum": ["loading", "sequences", "cells", "class", "share", "queue",
          "conversation", "reader", "suspended"]},
        "text": {"type": "string"}},
      "additionalProperties": {"description": "numbers and names of the reason"}},
    "ahead": {"type": "integer", "description": "how many are before it"},
    "expected_seconds": {"type": ["number", "null"],
      "description": "until it begins; null: it cannot be told"}}
})"},
    {"Requests", R"({
  "type": "object", "required": ["requests"],
  "properties": {"requests": {"type": "array", "items": {
    "type": "object",
    "allOf": [{"$ref": "#/components/schemas/RequestRow"}],
    "required": ["age_seconds"],
    "properties": {
      "age_seconds": {"type": "number", "description": "since it was submitted"}}}}}
})"},
    {"EndedRequests", R"({
  "type": "object", "required": ["requests"],
  "properties": {"requests": {"type": "array", "items": {
    "type": "object",
    "required": ["id", "model", "tenant", "priority", "finish", "error", "prompt_tokens",
      "reused_tokens", "recomputed_tokens", "output_tokens", "tokens_per_second", "held_seconds",
      "queue_seconds", "first_token_seconds", "parked_seconds", "total_seconds", "submitted_ms",
      "ended_ms"],
    "properties": {
      "id": {"type": "string"},
      "model": {"type": "string"},
      "tenant": {"type": "string"},
      "priority": {"$ref": "#/components/schemas/PriorityName"},
      "finish": {"$ref": "#/components/schemas/FinishName"},
      "error": {"type": ["string", "null"], "description": "a word; null: it ended by itself"},
      "prompt_tokens": {"type": "integer"},
      "reused_tokens": {"type": "integer", "description": "of the prompt: found from before"},
      "recomputed_tokens": {"type": "integer", "description": "computed again after others had had its cells"},
      "output_tokens": {"type": "integer"},
      "tokens_per_second": {"type": ["number", "null"], "description": "from its first token to its end"},
      "held_seconds": {"type": "number", "description": "of queue_seconds: for a load, or an earlier turn"},
      "queue_seconds": {"type": "number", "description": "from submission to its first pass, or to its end without one"},
      "first_token_seconds": {"type": "number", "description": "from submission; 0: there was none"},
      "parked_seconds": {"type": "number", "description": "without KV cells: others had them, or its reader was slow"},
      "total_seconds": {"type": "number"},
      "submitted_ms": {"type": "integer", "description": "since 1970"},
      "ended_ms": {"type": "integer", "description": "since 1970"}}}}}
})"},
});

}  // namespace

std::span<const Schema> request_row_schemas() { return kRequestRowSchemas; }

}  // namespace choir::serve
