// What Choir's own routes answer, whole: a test compares it with what they send. All objects may
// get more members later.
#include <array>

#include "serve/schemas.h"

namespace choir::serve {
namespace {

constexpr auto kOwnReplySchemas = std::to_array<Schema>({
    {"ModelRow", R"({
  "description": "an executor of a model; counts are since the daemon began",
  "type": "object",
  "required": ["name", "path", "state", "load_progress", "priority", "shares", "pinned",
    "sequences_max", "sequence_tokens_max", "context_tokens", "kv_type", "running", "waiting",
    "cells", "cached_cells", "weight_bytes", "kv_bytes", "compute_bytes", "prompt_tokens",
    "output_tokens", "reused_tokens", "requests_done", "requests_failed", "preemptions",
    "load_seconds", "compute_seconds", "threads"],
  "properties": {
    "name": {"type": "string"},
    "path": {"type": "string"},
    "state": {"enum": ["unloaded", "loading", "loaded", "suspended"]},
    "load_progress": {"type": ["number", "null"],
                      "description": "while it is loading: the part of the weights that is read"},
    "priority": {"$ref": "#/components/schemas/PriorityName"},
    "shares": {"type": "number", "description": "its weight beside others of its class"},
    "pinned": {"type": "boolean"},
    "sequences_max": {"type": "integer"},
    "sequence_tokens_max": {"type": "integer", "description": "0: as many as it has cells"},
    "context_tokens": {"type": "integer", "description": "KV cells of all sequences together"},
    "kv_type": {"$ref": "#/components/schemas/KvType"},
    "running": {"type": "integer", "description": "requests"},
    "waiting": {"type": "integer", "description": "requests"},
    "cells": {"type": "integer", "description": "KV cells in use"},
    "cached_cells": {"type": "integer", "description": "of ended requests, kept for reuse"},
    "weight_bytes": {"type": "integer", "description": "0: it is not in memory"},
    "kv_bytes": {"type": "integer"},
    "compute_bytes": {"type": "integer"},
    "prompt_tokens": {"type": "integer"},
    "output_tokens": {"type": "integer"},
    "reused_tokens": {"type": "integer", "description": "of prompts, found in the prefix cache"},
    "requests_done": {"type": "integer"},
    "requests_failed": {"type": "integer"},
    "preemptions": {"type": "integer", "description": "requests that lost their cells to others"},
    "load_seconds": {"type": "number", "description": "of its last load; 0: there was none"},
    "compute_seconds": {"type": "number"},
    "threads": {"type": "integer", "description": "of its last pass"},
    "replicas": {"type": "integer", "description": "of a model that has more than one"},
    "replica_of": {"type": "string", "description": "the model whose requests it shares"}}
})"},
    {"NodeModel", R"({
  "type": "object",
  "allOf": [{"$ref": "#/components/schemas/ModelRow"}],
  "required": ["leases", "idle_seconds", "not_covered"],
  "properties": {
    "leases": {"type": "array", "items": {
      "type": "object", "required": ["tenant", "seconds_left"],
      "properties": {
        "tenant": {"type": "string"},
        "seconds_left": {"type": ["number", "null"], "description": "null: for ever"}}}},
    "idle_seconds": {"type": "number", "description": "since its last request ended"},
    "not_covered": {"type": "string",
      "description": "the parts that llama.cpp's own kernels compute instead of ours; empty: none"}}
})"},
    {"Node", R"({
  "type": "object",
  "required": ["cores", "kernels", "lanes", "memory_bytes_max", "memory_bytes_promised", "requests_active",
    "draining"],
  "properties": {
    "cores": {"type": "integer"},
    "kernels": {"type": "string", "description": "which of our kernels run, such as avx512; or off, with the reason"},
    "lanes": {"type": "array", "items": {"type": "integer"}, "description": "threads of each"},
    "memory_bytes_max": {"type": "integer"},
    "memory_bytes_promised": {"type": "integer"},
    "requests_active": {"type": "integer"},
    "draining": {"type": "boolean"}}
})"},
    {"NodeModels", R"({
  "type": "object", "required": ["models", "node"],
  "properties": {
    "models": {"type": "array", "items": {"$ref": "#/components/schemas/NodeModel"}},
    "node": {"$ref": "#/components/schemas/Node"}}
})"},
    {"Cells", R"({
  "description": "KV cells; those that sequences share count for each of them",
  "type": "object",
  "required": ["model", "state", "cells", "running_cells", "kept_cells", "cached_cells",
               "free_cells", "kept_conversations", "running", "sequences", "sharing"],
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
        "type": "object", "required": ["id", "tenant", "state", "cells", "shared_cells"],
        "properties": {
          "id": {"type": "string", "description": "of its request"},
          "tenant": {"type": "string"},
          "state": {"type": "string"},
          "cells": {"type": "integer", "description": "its front: the tokens that are computed"},
          "shared_cells": {"type": "integer",
            "description": "of these, the first ones that other sequences hold as well"}}}},
    "sharing": {
      "description": "what sequences share, as it was age_seconds ago; null where nobody has looked since the load: this call asks for a look, so that the next one has it",
      "type": ["object", "null"], "required": ["age_seconds", "saved_cells", "fronts"],
      "properties": {
        "age_seconds": {"type": "number"},
        "saved_cells": {"type": "integer",
          "description": "so many more would be needed without sharing, of all tenants"},
        "fronts": {
          "description": "with which at least two sequences begin: those that the client may see, the 50 that save most",
          "type": "array", "items": {
            "type": "object",
            "required": ["tenant", "cells", "saved_cells", "depth", "running", "kept", "cached"],
            "properties": {
              "tenant": {"type": ["string", "null"],
                "description": "null where cache_salt or prompt_cache_key narrowed the reuse and no request of it runs"},
              "cells": {"type": "integer", "description": "its length in tokens, from the first one"},
              "saved_cells": {"type": "integer",
                "description": "those of a shorter shared front of the same sequences are counted there"},
              "depth": {"type": "integer", "description": "shorter shared fronts that it begins with, 0 to 2"},
              "running": {"type": "integer", "description": "sequences of requests that run"},
              "kept": {"type": "integer", "description": "of conversations between their requests"},
              "cached": {"type": "integer", "description": "of ended requests"}}}}}}}
})"},
    {"Removed", R"({
  "type": "object", "required": ["name", "removed"],
  "properties": {"name": {"type": "string"}, "removed": {"const": true}}
})"},
    {"Estimate", R"({
  "type": "object",
  "required": ["model", "sequences_max", "sequence_tokens_max", "context_tokens", "kv_type",
    "weight_bytes", "kv_bytes", "compute_bytes", "need_bytes", "missing_bytes", "limit_bytes",
    "promised_bytes", "free_bytes", "fits", "would_leave", "refusal", "capabilities"],
  "properties": {
    "model": {"type": "string"},
    "sequences_max": {"type": "integer"},
    "sequence_tokens_max": {"type": "integer"},
    "context_tokens": {"type": "integer"},
    "kv_type": {"$ref": "#/components/schemas/KvType"},
    "weight_bytes": {"type": "integer"},
    "kv_bytes": {"type": "integer"},
    "compute_bytes": {"type": "integer"},
    "need_bytes": {"type": "integer", "description": "weights, KV cells and compute together"},
    "missing_bytes": {"type": "integer", "description": "that would have to come free first"},
    "limit_bytes": {"type": "integer", "description": "what the node may take"},
    "promised_bytes": {"type": "integer", "description": "what it has given out"},
    "free_bytes": {"type": "integer", "description": "what is left of the limit, or of the machine"},
    "fits": {"type": "boolean"},
    "would_leave": {"type": "array", "items": {"type": "string"},
      "description": "idle models that would leave for it; it fits when they have"},
    "refusal": {"type": "string",
      "description": "what a load or a resize would be refused with now; empty: it would be done"},
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
    "node": {"$ref": "#/components/schemas/Node"}}
})"},
    {"Pull", R"({
  "type": "object",
  "required": ["model", "state", "cancelling", "step", "bytes_done", "bytes_total", "path",
    "error"],
  "properties": {
    "model": {"type": "string"},
    "state": {"enum": ["waiting", "running", "done", "failed", "cancelled"]},
    "cancelling": {"type": "boolean"},
    "step": {"type": "string", "description": "what it does now"},
    "bytes_done": {"type": "integer"},
    "bytes_total": {"type": "integer", "description": "0: not known"},
    "path": {"type": ["string", "null"], "description": "of the file, once it is there"},
    "error": {
      "type": ["object", "null"], "required": ["reason", "message"],
      "properties": {"reason": {"type": "string"}, "message": {"type": "string"}}}}
})"},
    {"Pulls", R"({
  "type": "object", "required": ["pulls"],
  "properties": {"pulls": {"type": "array", "items": {"$ref": "#/components/schemas/Pull"}}}
})"},
    {"Report", R"({
  "description": "the report of `choir parallel --json`",
  "type": "object",
  "required": ["load_seconds", "total_seconds", "total_tokens", "average_tokens_per_second",
    "throughput", "sessions"],
  "properties": {
    "load_seconds": {"type": "number"},
    "total_seconds": {"type": "number"},
    "total_tokens": {"type": "integer"},
    "average_tokens_per_second": {"type": "number", "description": "of the sessions"},
    "throughput": {"type": "number", "description": "tokens a second of all together"},
    "sessions": {"type": "array", "items": {
      "type": "object",
      "required": ["session_id", "model", "prompt", "text", "prompt_tokens", "tokens", "seconds",
        "first_token_seconds", "tokens_per_second", "finish", "error"],
      "properties": {
        "session_id": {"type": "integer"},
        "model": {"type": "string"},
        "prompt": {"type": "string"},
        "text": {"type": "string"},
        "prompt_tokens": {"type": "integer"},
        "tokens": {"type": "integer"},
        "seconds": {"type": "number", "description": "since it began to compute"},
        "first_token_seconds": {"type": "number", "description": "since the first submission"},
        "tokens_per_second": {"type": "number"},
        "finish": {"$ref": "#/components/schemas/FinishName"},
        "error": {"$ref": "#/components/schemas/JobError"}}}},
    "comparison": {"$ref": "#/components/schemas/JobComparison"}}
})"},
    {"JobComparison", R"({
  "description": "where the body has `against`; of a stream it stands beside the report",
  "type": "object", "required": ["speedup", "text"],
  "properties": {
    "speedup": {"type": "number",
      "description": "the throughput together over that of one at a time; 0: the latter is 0"},
    "text": {"type": "string", "description": "as `choir parallel --compare` prints it"}}
})"},
    {"FinishName", R"({
  "enum": ["stop", "length", "cancelled", "deadline", "stalled", "failed"]
})"},
    {"JobError", R"({
  "type": ["object", "null"], "required": ["code", "message"],
  "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
  "additionalProperties": {"description": "numbers of the error"}
})"},
    {"JobEvent", R"({
  "description": "an event of a parallel call: begin, text and end of the jobs, report; error instead, where nothing could begin",
  "type": "object", "required": ["data"],
  "properties": {"data": {"type": "string", "contentMediaType": "application/json",
    "contentSchema": {"$ref": "#/components/schemas/ParallelEvent"}}}
})"},
    {"ParallelEvent", R"({
  "oneOf": [
    {"type": "object", "required": ["type", "call", "jobs"],
     "properties": {
       "type": {"const": "begin"},
       "call": {"type": ["string", "null"], "description": "with it one job can be stopped"},
       "jobs": {"type": "array", "items": {
         "type": "object", "required": ["job", "model", "prompt", "request"],
         "properties": {
           "job": {"type": "integer"},
           "model": {"type": "string"},
           "prompt": {"type": "string"},
           "request": {"type": ["string", "null"],
             "description": "its id among the requests; null: it is not submitted yet, or was refused"}}}}}},
    {"type": "object", "required": ["type", "job", "request"],
     "properties": {
       "type": {"const": "begun"},
       "job": {"type": "integer"},
       "request": {"type": "string"}}},
    {"type": "object", "required": ["type", "job", "text", "tokens"],
     "properties": {
       "type": {"const": "text"},
       "job": {"type": "integer"},
       "text": {"type": "string", "description": "what is new"},
       "tokens": {"type": "integer", "description": "of the job, so far"}}},
    {"type": "object", "required": ["type", "job", "finish", "error", "usage"],
     "properties": {
       "type": {"const": "end"},
       "job": {"type": "integer"},
       "finish": {"$ref": "#/components/schemas/FinishName"},
       "error": {"$ref": "#/components/schemas/JobError"},
       "usage": {
         "type": "object",
         "required": ["prompt_tokens", "output_tokens", "reused_tokens", "queue_seconds",
           "first_token_seconds", "total_seconds"],
         "properties": {
           "prompt_tokens": {"type": "integer"},
           "output_tokens": {"type": "integer"},
           "reused_tokens": {"type": "integer"},
           "queue_seconds": {"type": "number"},
           "first_token_seconds": {"type": "number"},
           "total_seconds": {"type": "number"}}}}},
    {"type": "object", "required": ["type", "report", "text"],
     "properties": {
       "type": {"const": "report"},
       "report": {"$ref": "#/components/schemas/Report"},
       "text": {"type": "string", "description": "the report as `choir parallel` prints it"},
       "comparison": {"$ref": "#/components/schemas/JobComparison"}}},
    {"type": "object", "required": ["type", "error"],
     "allOf": [{"$ref": "#/components/schemas/Error"}],
     "properties": {"type": {"const": "error"}}}]
})"},
    {"Turns", R"({
  "description": "as they are, or with format=chrome as a trace",
  "type": "object",
  "properties": {
    "now_us": {"type": "integer", "description": "since the daemon began"},
    "from_us": {"type": "integer", "description": "since then all turns are told"},
    "lanes": {"type": "array", "items": {
      "type": "object", "required": ["lane", "threads", "missing", "turns"],
      "properties": {
        "lane": {"type": "integer"},
        "threads": {"type": "integer"},
        "missing": {"type": "integer"},
        "turns": {
          "description": "begin_us, length_us, model, prompt rows, decode rows, class, threads, why it had this turn: 0 nothing else had work, 1 its shares, 2 its class, 3 it had waited",
          "type": "array", "items": {
            "type": "array", "minItems": 8, "maxItems": 8, "prefixItems": [
              {"type": "integer"}, {"type": "integer"}, {"type": "string"}, {"type": "integer"},
              {"type": "integer"}, {"$ref": "#/components/schemas/PriorityName"},
              {"type": "integer"},
              {"type": "integer", "minimum": 0, "maximum": 3}]}}}}},
    "displayTimeUnit": {"const": "ms"},
    "traceEvents": {"type": "array", "items": {"type": "object"}}}
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

std::span<const Schema> own_reply_schemas() { return kOwnReplySchemas; }

}  // namespace choir::serve
