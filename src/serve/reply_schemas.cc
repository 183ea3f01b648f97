// What the routes of OpenAI's and llama.cpp's API answer, as far as clients may count on it; all
// objects may have more members.
#include <array>

#include "serve/schemas.h"

namespace choir::serve {
namespace {

constexpr auto kReplySchemas = std::to_array<Schema>({
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
    "aliases": {"type": "array", "items": {"type": "string"}},
    "meta": {"type": "object", "description": "under llama.cpp's names; of a file that is not read yet its size only",
      "properties": {
        "n_ctx": {"type": "integer", "description": "tokens of the longest sequence"},
        "n_ctx_train": {"type": "integer"},
        "n_vocab": {"type": "integer"},
        "n_embd": {"type": "integer"},
        "n_params": {"type": "integer"},
        "size": {"type": "integer", "description": "bytes"},
        "ftype": {"type": "string"}}},
    "status": {"type": "object", "required": ["value"],
               "properties": {
                 "value": {"type": "string"},
                 "progress": {"type": "number", "description": "of loading, 0 to 1"}}},
    "running": {"type": "integer", "description": "requests; of a declared model, as is waiting"},
    "waiting": {"type": "integer"},
    "replicas": {"type": "integer", "description": "of a model that has more than one"},
    "capabilities": {"type": "array", "items": {"type": "string"}}}
})"},
    {"ModelList", R"({
  "type": "object", "required": ["object", "data"],
  "properties": {
    "object": {"const": "list"},
    "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}}
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
});

}  // namespace

std::span<const Schema> reply_schemas() { return kReplySchemas; }

}  // namespace choir::serve
