// What a route takes and gives, as plain rows: the bodies of requests are read by them
// (serve/fields.h, serve/shaped_body.h), and the document of the API is made from them
// (serve/openapi.h).
//
// Values; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace choir::serve {

// The routes whose fields serve/fields.h has; bits, because a field may be of several.
using Routes = std::uint8_t;
inline constexpr Routes kChat = 1;
inline constexpr Routes kCompletion = 2;
inline constexpr Routes kEmbeddings = 4;
inline constexpr Routes kLlamaCompletion = 8;
inline constexpr Routes kGenerating = kChat | kCompletion | kLlamaCompletion;
inline constexpr Routes kAllRoutes = kGenerating | kEmbeddings;

// kInteger: a whole number; 73.0 is one. kTokens: a list of whole numbers from 0. kTexts: a list of
// texts.
enum class Kind : std::uint8_t {
  kAny,
  kBoolean,
  kInteger,
  kNumber,
  kText,
  kList,
  kTokens,
  kTexts,
  kObject
};

// What a value is, and its limits: of a number itself, of a text its bytes.
struct ValueRule {
  Kind kind = Kind::kAny;
  double least = 0;
  double most = 0;
};

// One field of the body of a route that is not of serve/fields.h.
struct BodyField {
  std::string_view name;
  ValueRule rule;
  std::string_view meaning;
  bool required = false;
  std::string_view schema = {};  // a name of serve/schemas.h, where the rule does not say all
};

// What is done with a field that has no row. An own route refuses it with the nearest name; other
// programs' routes ignore it, because clients send fields of those programs.
enum class Unknown : std::uint8_t { kRefused, kIgnored };

struct BodyShape {
  Routes table = 0;  // the rows of serve/fields.h of this route; 0: `fields` has the rows
  std::span<const BodyField> fields = {};
  Unknown unknown = Unknown::kRefused;
};

// The answer with status 200.
struct ReplyShape {
  std::string_view schema = {};  // a name of serve/schemas.h; empty: any JSON
  std::string_view type = "application/json";
  bool may_stream = false;           // as server-sent events, where the request asks for that
  std::string_view event = "Event";  // of a stream: the schema of each
};

}  // namespace choir::serve
