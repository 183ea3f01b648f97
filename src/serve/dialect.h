// How a request to generate is answered in one API: all that differs from dialect to dialect, apart
// from its fields (serve/field_table) and its paths (serve/routes). What is the same for all of
// them (models, the node, streams, clients that leave) is in serve/generating.
//
// An answer has choices. Those of one prompt follow one another: choice c of prompt p has the index
// p * choices + c.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "choir/request.h"
#include "choir/text_stream.h"
#include "choir/units.h"
#include "serve/api_error.h"
#include "serve/fields.h"
#include "serve/json_in.h"

namespace choir::serve {

// What an answer shows of its request.
struct AnswerInfo {
  std::string id;            // with the dialect's prefix
  std::string model;         // that answers
  std::int64_t created = 0;  // seconds since 1970
  std::size_t prompts = 1;
  std::size_t choices = 1;  // of each prompt
  bool stream = false;
  bool include_usage = false;                     // counts at the end of a stream
  bool return_tokens = false;                     // tokens beside the text
  std::vector<std::string> response_fields = {};  // of the answer; none: all of them
  // Of each prompt, as the node took it; empty unless the dialect is detailed.
  std::vector<Request> requests = {};
  std::vector<std::int32_t> prompt_tokens = {};  // of each prompt; 0: not known yet
};

// How a choice has ended.
struct ChoiceEnd {
  Completion completion = {};
  std::string stop = {};  // the stop string that ended it, where the dialect is detailed
};

// Writes one answer. One thread at a time; no call blocks.
class Writer {
 public:
  Writer() = default;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  virtual ~Writer() = default;

  // The body of an answer that comes whole. One end for each choice; all have ended well.
  virtual std::string whole(std::span<const ChoiceEnd> ends) = 0;

  // The events of a stream. begin() goes before the first of them; finish() ends a stream whose
  // choices have all ended well, and error() ends any other, so that no client takes it for the end
  // of an answer. Each may be empty.
  virtual std::string begin() = 0;
  virtual std::string text(std::size_t choice, const StreamPiece& piece) = 0;
  virtual std::string end(std::size_t choice, const ChoiceEnd& end) = 0;
  virtual std::string finish(std::span<const ChoiceEnd> ends) = 0;
  virtual std::string error(const ApiError& error) = 0;
};

struct Dialect {
  Routes route = 0;            // whose fields it takes
  std::string_view id_prefix;  // of the ids of its answers
  std::unique_ptr<Writer> (*writer)(AnswerInfo answer) = nullptr;
  Json (*error)(const ApiError& error) = nullptr;  // the body of a reply that is an error
  bool detailed = false;  // its answers show the requests, and which stop string ended a choice
};

// ---- what dialects share; pure: any thread, does not block

// A comment that keeps a stream alive, after Services::ping_every of silence.
inline constexpr std::string_view kPing = ": ping\n\n";
// Of events that are made before the socket has taken them; what a stream has unread may be on top.
inline constexpr std::size_t kBytesAtOnce = 64U << 10U;

// Whether an answer has ended by itself.
bool ended_well(Finish finish);
// One server-sent event.
std::string event_of(const Json& json);
// In the form of llama.cpp: tokens, milliseconds and rates of prompt and answer.
Json timings_json(const Usage& usage);
// The tokens of all choices together; a prompt counts once, as its first choice found it.
Usage usage_of(std::span<const ChoiceEnd> ends, std::size_t choices);

}  // namespace choir::serve
