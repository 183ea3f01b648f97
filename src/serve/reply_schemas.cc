// What routes answer, as far as clients may count on it; all objects may have more members.
#include <array>

#include "serve/schemas.h"

namespace choir::serve {
namespace {

constexpr auto kSchemas = std::to_array<Schema>({
    {"Error", R"({
  "type": "object", "required": ["error"],
  "properties": {"error": {
    "type": "object", "required": ["message", "type", "code"],
    "properties": {
      "message": {"type": "string", "description": "one sentence"},
      "type": {"type": "string"},
      "param": {"type": ["string", "null"], "description": "the field that is wrong"},
      "code": {"type": ["string", "integer", "null"],
        "description": "a word; on llama.cpp's /completion the status, as there"},
      "pointer": {"type": "string", "description": "its place in the body, a JSON pointer"},
      "would_have_to_leave": {
        "description": "of a model that does not fit: those in whose place it would fit",
        "type": "array", "items": {
          "type": "object", "required": ["model", "bytes", "state"],
          "properties": {
            "model": {"type": "string"},
            "bytes": {"type": "integer", "description": "that would come free"},
            "state": {"enum": ["idle", "busy", "pinned"]}}}}},
    "additionalProperties": {"type": "integer", "description": "numbers of the error"}}}
})"},
    {"Event", R"({
  "description": "each server-sent event of the stream",
  "type": "object", "required": ["data"],
  "properties": {"data": {"type": "string"}, "event": {"type": "string"}}
})"},
    {"Model", R"({
  "type": "object", "required": ["id", "object", "created", "owned_by", "meta", "status"],
  "properties": {
    "id": {"type": "string", "description": "the name that requests use"},
    "object": {"const": "model"},
    "created": {"type": "integer"},
    "owned_by": {"type": "string"},
    "meta": {"type": "object", "description": "sizes, under llama.cpp's names"},
    "status": {"type": "object", "required": ["value"],
               "properties": {
                 "value": {"type": "string"},
                 "progress": {"type": "number", "description": "of loading, 0 to 1"}}},
    "capabilities": {"type": "array", "items": {"type": "string"}}}
})"},
    {"ModelList", R"({
  "type": "object", "required": ["object", "data"],
  "properties": {
    "object": {"const": "list"},
    "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}
})"},
    {"Turns", R"({
  "description": "as they are, or with format=chrome as a trace",
  "type": "object",
  "properties": {
    "now_us": {"type": "integer", "description": "since the daemon began"},
    "lanes": {"type": "array", "items": {
      "type": "object", "required": ["lane", "threads", "missing", "turns"],
      "properties": {
        "lane": {"type": "integer"},
        "threads": {"type": "integer"},
        "missing": {"type": "integer"},
        "turns": {"type": "array", "description": "begin_us, length_us, model, prompt_rows, decode_rows, class, threads",
                  "items": {"type": "array"}}}}},
    "traceEvents": {"type": "array", "items": {"type": "object"}}}
})"},
    {"Usage", R"({
  "type": "object", "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
  "properties": {
    "prompt_tokens": {"type": "integer"},
    "completion_tokens": {"type": "integer"},
    "total_tokens": {"type": "integer"},
    "prompt_tokens_details": {
      "type": "object", "properties": {"cached_tokens": {"type": "integer"}}}}
})"},
    {"ChatCompletion", R"({
  "type": "object", "required": ["id", "object", "created", "model", "choices", "usage"],
  "properties": {
    "id": {"type": "string"},
    "object": {"const": "chat.completion"},
    "created": {"type": "integer"},
    "model": {"type": "string"},
    "choices": {"type": "array", "items": {
      "type": "object", "required": ["index", "message", "finish_reason"],
      "properties": {
        "index": {"type": "integer"},
        "message": {
          "type": "object", "required": ["role", "content"],
          "properties": {"role": {"const": "assistant"}, "content": {"type": "string"}}},
        "finish_reason": {"enum": ["stop", "length"]}}}},
    "usage": {"$ref": "#/components/schemas/Usage"},
    "timings": {"type": "object", "description": "under llama.cpp's names"}}
})"},
    {"TextCompletion", R"({
  "type": "object", "required": ["id", "object", "created", "model", "choices", "usage"],
  "properties": {
    "id": {"type": "string"},
    "object": {"const": "text_completion"},
    "created": {"type": "integer"},
    "model": {"type": "string"},
    "choices": {"type": "array", "items": {
      "type": "object", "required": ["index", "text", "finish_reason"],
      "properties": {
        "index": {"type": "integer"},
        "text": {"type": "string"},
        "finish_reason": {"enum": ["stop", "length"]}}}},
    "usage": {"$ref": "#/components/schemas/Usage"},
    "timings": {"type": "object", "description": "under llama.cpp's names"}}
})"},
    {"EmbeddingList", R"({
  "type": "object", "required": ["object", "model", "data", "usage"],
  "properties": {
    "object": {"const": "list"},
    "model": {"type": "string"},
    "data": {"type": "array", "items": {
      "type": "object", "required": ["object", "index", "embedding"],
      "properties": {
        "object": {"const": "embedding"},
        "index": {"type": "integer"},
        "embedding": {
          "description": "numbers, or with base64 the bytes of little-endian floats",
          "anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]}}}},
    "usage": {"type": "object"}}
})"},
    {"Tokens", R"({
  "type": "object", "required": ["tokens"],
  "properties": {"tokens": {"type": "array"}}
})"},
    {"Content", R"({
  "type": "object", "required": ["content"],
  "properties": {"content": {"type": "string"}}
})"},
    {"RenderedPrompt", R"({
  "type": "object", "required": ["prompt"],
  "properties": {"prompt": {"type": "string"}}
})"},
    {"InputTokens", R"({
  "type": "object", "required": ["input_tokens"],
  "properties": {"input_tokens": {"type": "integer"}}
})"},
    {"Success", R"({
  "type": "object", "required": ["success"],
  "properties": {"success": {"const": true}}
})"},
    {"Properties", R"({
  "type": "object", "required": ["total_slots", "model_path", "is_sleeping"],
  "properties": {
    "total_slots": {"type": "integer"},
    "model_path": {"type": "string"},
    "is_sleeping": {"type": "boolean", "description": "it is not in memory"}}
})"},
    {"Slots", R"({
  "type": "array",
  "items": {
    "type": "object", "required": ["id", "n_ctx", "is_processing"],
    "properties": {
      "id": {"type": "integer"},
      "n_ctx": {"type": "integer"},
      "is_processing": {"type": "boolean"}}}
})"},
    {"Health", R"({
  "type": "object", "required": ["status"],
  "properties": {"status": {"enum": ["ok", "draining"]}}
})"},
    {"NodeModel", R"({
  "type": "object",
  "required": ["name", "path", "state", "priority", "pinned", "leases", "running", "waiting"],
  "properties": {
    "name": {"type": "string"},
    "path": {"type": "string"},
    "state": {"enum": ["unloaded", "loading", "loaded", "suspended"]},
    "load_progress": {"type": ["number", "null"],
                      "description": "while it is loading: the part of the weights that is read"},
    "priority": {"$ref": "#/components/schemas/PriorityName"},
    "pinned": {"type": "boolean"},
    "leases": {"type": "array", "items": {
      "type": "object", "required": ["tenant", "seconds_left"],
      "properties": {
        "tenant": {"type": "string"},
        "seconds_left": {"type": ["number", "null"], "description": "null: for ever"}}}},
    "sequences_max": {"type": "integer"},
    "sequence_tokens_max": {"type": "integer"},
    "context_tokens": {"type": "integer"},
    "running": {"type": "integer"},
    "waiting": {"type": "integer"},
    "replicas": {"type": "integer", "description": "of a model that has more than one"},
    "replica_of": {"type": "string", "description": "the model whose requests it shares"}}
})"},
    {"NodeModels", R"({
  "type": "object", "required": ["models", "node"],
  "properties": {
    "models": {"type": "array", "items": {"$ref": "#/components/schemas/NodeModel"}},
    "node": {
      "type": "object",
      "properties": {
        "cores": {"type": "integer"},
        "lanes": {"type": "array", "items": {"type": "integer"}, "description": "threads of each"},
        "memory_bytes_max": {"type": "integer"},
        "memory_bytes_promised": {"type": "integer"},
        "requests_active": {"type": "integer"},
        "draining": {"type": "boolean"}}}}
})"},
    {"Requests", R"({
  "type": "object", "required": ["requests"],
  "properties": {"requests": {"type": "array", "items": {
    "type": "object", "required": ["id", "model", "tenant", "priority", "state", "waits_for"],
    "properties": {
      "id": {"type": "string"},
      "model": {"type": "string"},
      "tenant": {"type": "string"},
      "priority": {"$ref": "#/components/schemas/PriorityName"},
      "state": {"type": "string"},
      "waits_for": {"type": "string"},
      "why": {"type": "object", "required": ["reason", "text"],
        "description": "while it waits: the reason, its numbers, and a sentence",
        "properties": {
          "reason": {"enum": ["loading", "sequences", "cells", "class", "share", "queue",
            "conversation", "reader", "suspended"]},
          "text": {"type": "string"}}},
      "ahead": {"type": "integer", "description": "how many are before it"},
      "expected_seconds": {"type": ["number", "null"], "description": "until it begins"}}}}}
})"},
    {"Cells", R"({
  "description": "KV cells; those that sequences share count for each of them",
  "type": "object",
  "required": ["model", "state", "cells", "running_cells", "kept_cells", "cached_cells",
               "free_cells", "kept_conversations", "running", "sequences"],
  "properties": {
    "model": {"type": "string"},
    "state": {"enum": ["unloaded", "loading", "loaded", "suspended"]},
    "cells": {"type": "integer", "description": "all; 0 where it is not in memory"},
    "running_cells": {"type": "integer", "description": "of requests that run"},
    "kept_cells": {"type": "integer", "description": "of conversations between their requests"},
    "cached_cells": {"type": "integer", "description": "of ended requests; given up for others"},
    "free_cells": {"type": "integer"},
    "kept_conversations": {"type": "integer"},
    "running": {"type": "integer", "description": "sequences that hold cells, of all tenants"},
    "sequences": {
      "description": "of requests that the client may see, the 50 longest",
      "type": "array", "items": {
        "type": "object", "required": ["id", "tenant", "state", "cells"],
        "properties": {
          "id": {"type": "string", "description": "of its request"},
          "tenant": {"type": "string"},
          "state": {"type": "string"},
          "cells": {"type": "integer", "description": "its front: the tokens that are computed"}}}}}
})"},
    {"Removed", R"({
  "type": "object", "required": ["name", "removed"],
  "properties": {"name": {"type": "string"}, "removed": {"const": true}}
})"},
    {"Estimate", R"({
  "type": "object", "required": ["model", "need_bytes", "free_bytes", "fits", "would_leave"],
  "properties": {
    "model": {"type": "string"},
    "need_bytes": {"type": "integer"},
    "free_bytes": {"type": "integer"},
    "fits": {"type": "boolean"},
    "would_leave": {"type": "array", "items": {"type": "string"}},
    "capabilities": {"type": "array", "items": {"type": "string"},
      "description": "completion and chat, or embedding"}}
})"},
    {"Catalogue", R"({
  "type": "object", "required": ["models", "folder_models", "node"],
  "properties": {
    "models": {"type": "array", "items": {
      "type": "object", "required": ["name", "description", "license", "bytes", "local"],
      "properties": {
        "name": {"type": "string"},
        "description": {"type": "string"},
        "license": {"type": "string"},
        "bytes": {"type": "integer", "description": "of the finished file"},
        "local": {"type": "boolean", "description": "it is in the models folder"}}}},
    "folder_models": {"type": "integer", "description": "files in the models folder"},
    "node": {"type": "object"}}
})"},
    {"Pull", R"({
  "type": "object", "required": ["model", "state", "bytes_done", "bytes_total", "error"],
  "properties": {
    "model": {"type": "string"},
    "state": {"type": "string"},
    "bytes_done": {"type": "integer"},
    "bytes_total": {"type": "integer"},
    "path": {"type": ["string", "null"]},
    "error": {"type": ["object", "null"]}}
})"},
    {"Pulls", R"({
  "type": "object", "required": ["pulls"],
  "properties": {"pulls": {"type": "array", "items": {"$ref": "#/components/schemas/Pull"}}}
})"},
    {"Report", R"({
  "type": "object", "description": "the report of `choir parallel --json`"
})"},
    {"History", R"({
  "type": "object", "required": ["step_seconds", "now_ms", "totals", "models"],
  "properties": {
    "step_seconds": {"enum": [1, 10]},
    "now_ms": {"type": "integer", "description": "of the last values, since 1970"},
    "totals": {
      "type": "object", "description": "oldest first; null: no value",
      "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}}},
    "models": {
      "type": "object",
      "additionalProperties": {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": ["number", "null"]}}}}}
})"},
    {"Session", R"({
  "type": "object", "required": ["tenant", "scopes", "expires_in_seconds"],
  "properties": {
    "tenant": {"type": ["string", "null"], "description": "null: a key is needed"},
    "scopes": {"type": "array", "items": {"type": "string"}},
    "expires_in_seconds": {"type": ["integer", "null"], "description": "null: it is no session"}}
})"},
    {"NewSession", R"({
  "type": "object", "required": ["token", "tenant", "scopes", "expires_in_seconds"],
  "properties": {
    "token": {"type": "string", "description": "is sent as a key is: Authorization: Bearer TOKEN"},
    "tenant": {"type": "string"},
    "scopes": {"type": "array", "items": {"type": "string"}},
    "expires_in_seconds": {"type": "integer"}}
})"},
    {"SessionEnded", R"({
  "type": "object", "required": ["ended"],
  "properties": {"ended": {"const": true}}
})"},
    {"SessionLink", R"({
  "type": "object", "required": ["code", "expires_in_seconds", "url"],
  "properties": {
    "code": {"type": "string"},
    "expires_in_seconds": {"type": "integer"},
    "url": {"type": ["string", "null"], "description": "null: no browser reaches the daemon"}}
})"},
    {"Cancelled", R"({
  "type": "object", "required": ["id", "cancelled"],
  "properties": {"id": {"type": "string"}, "cancelled": {"const": true}}
})"},
    {"JobStopped", R"({
  "type": "object", "required": ["job", "cancelled"],
  "properties": {"job": {"type": "integer"}, "cancelled": {"const": true}}
})"},
    {"Stopping", R"({
  "type": "object", "required": ["stopping"],
  "properties": {"stopping": {"const": true}}
})"},
});

}  // namespace

std::span<const Schema> reply_schemas() { return kSchemas; }

}  // namespace choir::serve
