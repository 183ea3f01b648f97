// Answers in the form of OpenAI's API: whole, or in chunks of a stream of server-sent events.
//
// Pure: any thread, does not block.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "choir/embedding.h"
#include "choir/request.h"
#include "serve/json_in.h"

namespace choir::serve {

// Which answer it is.
struct AnswerId {
  std::string id;            // "chatcmpl-..." or "cmpl-..."
  std::string model;         // the name of the model that answers
  std::int64_t created = 0;  // seconds since 1970
  bool chat = true;
};

// "stop" or "length" of an answer that has ended by itself.
bool ended_well(Finish finish);

Json usage_json(const Usage& usage);
// In the form of llama.cpp: tokens, milliseconds and rates of prompt and answer.
Json timings_json(const Usage& usage);
Json whole_answer(const AnswerId& answer, const Completion& completion);
Json whole_embeddings(const std::string& model, const EmbedCompletion& completion, bool base64);

// The events of one stream. Texts that stay the same are made once.
class Chunks {
 public:
  explicit Chunks(AnswerId answer);
  // The first event of a chat; empty for a completion, which has none.
  std::string begin() const;
  std::string text(std::string_view text) const;
  // What ends a stream that has ended well.
  std::string end(const Completion& completion, bool include_usage) const;
  // What ends any other: an error, which no client takes for the end of an answer.
  static std::string error(const Json& error);

 private:
  std::string event(const Json& choice) const;
  const AnswerId answer_;
  std::string front_;  // of an event, up to the text
  std::string back_;   // after it
};

}  // namespace choir::serve
