// A request, the events that it streams while it runs, and the completion with which it ends.
//
// Plain values, for any thread. submit() checks them with validate() before it uses them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/export.h"
#include "choir/ids.h"
#include "choir/result.h"
#include "choir/units.h"

namespace choir {

// The limits of validate(). They are generous: they keep a hostile request from filling the memory.
// What a particular model can take is checked later.
inline constexpr std::size_t kPromptBytesMax = 64U << 20U;   // text, or all messages together
inline constexpr std::size_t kPromptTokensMax = 16U << 20U;  // the longest context sold takes 10 M
inline constexpr std::size_t kMessagesMax = 16384;
inline constexpr std::size_t kStopStringsMax = 16;
inline constexpr std::size_t kStopBytesMax = 256;
inline constexpr std::size_t kLogitBiasMax = 1024;
inline constexpr std::size_t kNameBytesMax = 256;  // of an executor, a tenant or a reuse scope
inline constexpr double kTenantWeightMin = 0.001;
inline constexpr double kTenantWeightMax = 1000;
inline constexpr std::chrono::milliseconds kDeadlineMax = std::chrono::hours(24 * 30);

struct LogitBias {
  TokenId token = 0;
  float bias = 0;  // added to the logit; finite, or -infinity, which bans the token
  bool operator==(const LogitBias&) const = default;
};

// How the next token is drawn. Order: penalties, bias, temperature, top_k, top_p, min_p.
// The same seed, position and logits give the same token, whatever else is computed.
struct Sampling {
  float temperature = 0.8F;        // 0 .. 10; 0 is greedy
  std::int32_t top_k = 40;         // 0 is off
  float top_p = 0.95F;             // 0 < top_p <= 1; 1 is off
  float min_p = 0.05F;             // 0 .. 1; 0 is off
  float repeat_penalty = 1.0F;     // > 0, at most 10; 1 is off
  float frequency_penalty = 0.0F;  // -2 .. 2
  float presence_penalty = 0.0F;   // -2 .. 2
  std::int32_t repeat_last_n =
      64;  // tokens that the penalties look back at; 0 is off, at most 4096
  std::uint64_t seed = 0;
  std::vector<LogitBias> bias;  // at most kLogitBiasMax
  bool operator==(const Sampling&) const = default;
};

struct Message {
  std::string role;     // "system", "user", "assistant"
  std::string content;  // UTF-8
  bool operator==(const Message&) const = default;
};

// Exactly one of messages, text and tokens is set: it is the prompt. All text is UTF-8.
struct Request {
  std::string executor;  // the executor's name; may be empty if the node has exactly one executor
  std::vector<Message>
      messages;      // goes through the model's chat template; raw text where it has none
  std::string text;  // as it stands, without a template
  std::vector<TokenId> tokens;  // as they are, nothing added
  // true: control tokens that are written in messages are control tokens, as they always are in
  // `text`. false: they are plain text; a template that cannot keep them as text is an error.
  bool parse_special = false;
  // Messages for a model without a chat template: true renders them as ChatML, as llama.cpp does;
  // false puts their contents one after the other.
  bool default_template = false;

  std::int32_t max_tokens = 256;  // tokens to generate, 1 .. what the executor's context leaves
  Sampling sampling;
  // Which of several choices of one prompt this is: each stream of a seed draws random numbers of
  // its own. The same seed and stream give the same tokens, whatever the other choices do. Where
  // the temperature is 0, all streams are the same.
  std::uint32_t stream = 0;
  std::vector<std::string> stop;  // at most kStopStringsMax of 1 .. kStopBytesMax; not in the text
  bool ignore_eos = false;        // go on to max_tokens; for benchmarks
  std::optional<Priority> priority;       // unset: the executor's
  std::chrono::milliseconds deadline{0};  // submit to last token; 0 is none, at most kDeadlineMax
  std::string tenant;                     // shares inside an executor go by tenant
  // While tenants of an executor want more than it computes, a tenant of weight 3 gets three times
  // the tokens of a tenant of weight 1. A token of this request counts 1 / tenant_weight; requests
  // of one tenant may have different weights. kTenantWeightMin .. kTenantWeightMax.
  double tenant_weight = 1;
  // KV state is reused only between requests of the same scope. Empty: the scope is the tenant. Two
  // tenants that name the same scope share KV state, so a server that lets its clients choose a
  // scope should put the tenant's name in front of it.
  std::string reuse_scope;
  bool operator==(const Request&) const = default;
};

enum class Finish : std::uint8_t {
  kStop,    // the model generated its end token, or a stop string
  kLength,  // max_tokens, or the executor's context is full
  kCancelled,
  kDeadline,
  kStalled,  // the reader was behind for longer than NodeConfig::stalled
  kFailed,   // see error
};
// "stop", "length", "cancelled", "deadline", "stalled", "failed".
CHOIR_API std::string_view to_string(Finish finish);

// Counts and seconds of one request. Seconds are the node's clock.
struct Usage {
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;
  // Of the prompt: not computed, because the executor had their KV state from other requests of the
  // same reuse_scope.
  std::int32_t reused_tokens = 0;
  std::int32_t recomputed_tokens = 0;  // computed again after the sequence had lost its cells
  double queue_seconds = 0;            // submit to its first slice, or to its end without one
  // Of queue_seconds: until its executor took it, which was not in memory, or an earlier turn of
  // its conversation had not ended.
  double held_seconds = 0;
  double parked_seconds = 0;       // without its KV cells: others had them, or its reader was slow
  double first_token_seconds = 0;  // submit to the first token; 0 when there was none
  double total_seconds = 0;        // submit to the end
  bool operator==(const Usage&) const = default;
};

// How a request ended; text and tokens are what was generated until then.
struct Completion {
  RequestId id;
  std::string executor;
  std::string text;  // whole UTF-8 characters only
  std::vector<TokenId> tokens;
  Finish finish = Finish::kFailed;
  std::optional<Error> error;  // set for kFailed, kCancelled, kDeadline, kStalled
  Usage usage;
};

// A piece of the text of a running request. Pieces come in order, on a dispatcher thread, one at a
// time for each request. They are merged when the reader is slower than the model. A character is
// never split.
struct StreamEvent {
  RequestId id;
  std::string_view text;           // may be empty while a character or a stop string is undecided
  std::int32_t output_tokens = 0;  // so far
};

// Reports the first error in a sentence for the user: the field, its value, what is allowed, and
// the byte offset of invalid UTF-8. If a whole number is out of range, the error has the facts
// `value` and `limit`. Pure: any thread, does not block. It knows no model.
CHOIR_API Status validate(const Sampling& sampling);
CHOIR_API Status validate(const Request& request);

}  // namespace choir
