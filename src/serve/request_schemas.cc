// Values in the bodies of requests. serve/field_values.cc reads them.
#include <array>

#include "serve/schemas.h"

namespace choir::serve {
namespace {

constexpr auto kRequestSchemas = std::to_array<Schema>({
    {"Messages", R"({
  "description": "a list of messages, of which one at least has text",
  "type": "array", "minItems": 1, "maxItems": 4096,
  "items": {"$ref": "#/components/schemas/Message"},
  "contains": {
    "type": "object", "required": ["content"],
    "properties": {"content": {"anyOf": [
      {"type": "string", "minLength": 1},
      {"type": "array", "contains": {
        "type": "object", "required": ["text"], "properties": {"text": {"minLength": 1}}}}]}}},
  "examples": [[{"role": "user", "content": "Name three rivers"}]]
})"},
    {"Message", R"({
  "description": "a message; tools are not understood yet",
  "type": "object", "required": ["role"],
  "properties": {
    "role": {"enum": ["system", "developer", "user", "assistant"]},
    "content": {
      "description": "a text, or parts of text, which are joined by a line break",
      "anyOf": [
        {"type": ["string", "null"]},
        {"type": "array", "items": {
          "type": "object", "required": ["type", "text"],
          "properties": {"type": {"const": "text"}, "text": {"type": "string"}}}}]},
    "tool_calls": {"enum": [[], null]},
    "function_call": {"const": null}},
  "anyOf": [
    {"properties": {"role": {"const": "assistant"}}},
    {"required": ["content"]}],
  "examples": [{"role": "assistant", "content": null}]
})"},
    {"Prompt", R"({
  "description": "a text, a list of tokens, or a list of at most 128 of these",
  "anyOf": [
    {"$ref": "#/components/schemas/OnePrompt"},
    {"type": "array", "minItems": 1, "maxItems": 128,
     "items": {"$ref": "#/components/schemas/OnePrompt"}}],
  "examples": ["Once upon a time", [1, 42], ["Once upon a time", [1, 42]]]
})"},
    {"LlamaPrompt", R"({
  "description": "a text, a list of tokens, a list of these, or an object with a prompt_string",
  "anyOf": [
    {"$ref": "#/components/schemas/Prompt"},
    {"type": "object", "required": ["prompt_string"],
     "properties": {
       "prompt_string": {"$ref": "#/components/schemas/Prompt"},
       "multimodal_data": {"enum": [[], null]}}},
    {"type": "array", "minItems": 1, "maxItems": 128, "items": {"anyOf": [
      {"$ref": "#/components/schemas/OnePrompt"},
      {"type": "object", "required": ["prompt_string"],
       "properties": {
         "prompt_string": {"$ref": "#/components/schemas/OnePrompt"},
         "multimodal_data": {"enum": [[], null]}}}]}}],
  "examples": ["Once upon a time", {"prompt_string": "Once upon a time"},
               ["Once", {"prompt_string": "upon"}]]
})"},
    {"OnePrompt", R"({
  "description": "a text, or a list of tokens",
  "anyOf": [
    {"type": "string", "minLength": 1},
    {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Token"}}],
  "examples": ["Once upon a time"]
})"},
    {"Token", R"({
  "description": "a token; the model has fewer than the most that is said here",
  "type": "integer", "minimum": 0, "maximum": 2147483647,
  "examples": [1]
})"},
    {"Input", R"({
  "description": "a text, a list of texts, a list of tokens, or lists of tokens",
  "anyOf": [
    {"type": "string", "minLength": 1},
    {"type": "array", "minItems": 1, "maxItems": 2048,
     "items": {"type": "string", "minLength": 1}},
    {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Token"}},
    {"type": "array", "minItems": 1, "maxItems": 2048,
     "items": {"type": "array", "minItems": 1,
               "items": {"$ref": "#/components/schemas/Token"}}}],
  "examples": ["a text", ["a text", "another"]]
})"},
    {"EncodingFormat", R"({
  "description": "float or base64",
  "enum": ["float", "base64"],
  "examples": ["base64"]
})"},
    {"StreamOptions", R"({
  "description": "an object",
  "type": "object",
  "properties": {"include_usage": {"type": ["boolean", "null"]}},
  "examples": [{"include_usage": true}]
})"},
    {"MaxTokens", R"({
  "description": "a whole number from 1 to 2147483647, or -1",
  "type": "integer", "minimum": -1, "maximum": 2147483647, "not": {"const": 0},
  "examples": [16, -1]
})"},
    {"LogitBias", R"({
  "description": "an object of tokens and their biases, or a list of such pairs, of at most 1024",
  "anyOf": [
    {"type": "object", "maxProperties": 1024,
     "propertyNames": {"pattern": "^[0-9]{1,9}$"},
     "additionalProperties": {"$ref": "#/components/schemas/Bias"}},
    {"type": "array", "maxItems": 1024, "items": {
      "type": "array", "minItems": 2, "maxItems": 2,
      "prefixItems": [{"$ref": "#/components/schemas/Token"},
                      {"$ref": "#/components/schemas/Bias"}]}}],
  "examples": [{"42": -100}, [[42, false]]]
})"},
    {"Bias", R"({
  "description": "a number from -100 to 100; false: never this token",
  "anyOf": [{"type": "number", "minimum": -100, "maximum": 100}, {"const": false}],
  "examples": [1.5]
})"},
    {"Stop", R"({
  "description": "a text of 1 to 256 bytes, or a list of at most 16",
  "anyOf": [
    {"type": "string", "minLength": 1, "maxLength": 256},
    {"type": "array", "maxItems": 16,
     "items": {"type": "string", "minLength": 1, "maxLength": 256}}],
  "examples": ["\n", ["\n", "User:"]]
})"},
    {"PriorityName", R"({
  "description": "critical, high, normal or low",
  "enum": ["critical", "high", "normal", "low"],
  "examples": ["low"]
})"},
    {"KvType", R"({
  "description": "f16 or q8_0",
  "enum": ["f16", "q8_0"],
  "examples": ["q8_0"]
})"},
    {"JobOrder", R"({
  "description": "together or one_at_a_time",
  "enum": ["together", "one_at_a_time"],
  "examples": ["one_at_a_time"]
})"},
    {"ReportFigures", R"({
  "description": "an object with total_tokens and total_seconds; the rest of a report is ignored",
  "type": "object", "required": ["total_tokens", "total_seconds"],
  "properties": {
    "total_tokens": {"type": "integer", "minimum": 0, "maximum": 2147483647},
    "total_seconds": {"type": "number", "minimum": 0, "maximum": 1000000000}},
  "examples": [{"total_tokens": 800, "total_seconds": 6.4}]
})"},
    {"Cancel", R"({
  "description": "cancel",
  "const": "cancel",
  "examples": ["cancel"]
})"},
    {"Topics", R"({
  "description": "names with commas between them",
  "type": "string", "pattern": "^(state|requests|log|turns)(,(state|requests|log|turns))*$",
  "examples": ["state,requests"]
})"},
    {"Since", R"({
  "description": "EPOCH-N: the epoch of hello, and the id of a frame",
  "type": "string", "pattern": "^[0-9]{1,15}-[0-9]{1,18}$",
  "examples": ["1700000000000-7"]
})"},
    {"TurnsFormat", R"({
  "description": "choir or chrome",
  "enum": ["choir", "chrome"],
  "examples": ["chrome"]
})"},
    {"Off", R"({
  "description": "false",
  "const": false,
  "examples": [false]
})"},
    {"KeepAlive", R"({
  "description": "a number of seconds, or a text such as 90s, 10m or 1h30m",
  "anyOf": [
    {"type": "number"},
    {"type": "string",
     "pattern": "^-?([0-9]{1,9}([.][0-9]{1,9})?(ms|s|m|h))*[0-9]{1,9}([.][0-9]{1,9})?(ms|s|m|h)?$"}],
  "examples": [600, "10m", "-1", "1h30m"]
})"},
});

}  // namespace

std::span<const Schema> request_schemas() { return kRequestSchemas; }

}  // namespace choir::serve
