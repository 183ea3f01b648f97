// Texts that an encoder turns into vectors: the request and its completion.
//
// Plain values, for any thread. Node::submit_embed() checks a request with validate().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "choir/export.h"
#include "choir/ids.h"
#include "choir/request.h"
#include "choir/result.h"
#include "choir/units.h"

namespace choir {

inline constexpr std::size_t kEmbedTextsMax = 2048;

struct EmbedRequest {
  std::string executor;  // as in Request
  // 1 .. kEmbedTextsMax, UTF-8, together at most kPromptBytesMax bytes; none may be without tokens.
  std::vector<std::string> texts;
  // true: a text with more tokens than the executor embeds is cut to its first ones. false: the
  // request is refused with kTooLong.
  bool truncate = false;
  std::optional<Priority> priority = {};  // unset: the executor's
  std::chrono::milliseconds deadline{0};  // submit to last vector; 0 is none, at most kDeadlineMax
  // Shown by Node::requests() and told to the observer; it has a part of the queue, with weight 1.
  // Embeddings of one class are computed in the order in which they came, whichever tenant they are
  // of.
  std::string tenant = {};
  bool operator==(const EmbedRequest&) const = default;
};

struct Embedding {
  std::vector<float> vector = {};  // pooled as the model says, not normalized; [embedding_size]
  std::int32_t tokens = 0;         // computed, with the marks that the model puts around a text
  bool truncated = false;          // the text had more
  bool operator==(const Embedding&) const = default;
};

// How a request to embed ended.
struct EmbedCompletion {
  RequestId id;
  std::string executor;
  std::vector<Embedding> embeddings =
      {};                      // of each text, in their order; empty where there is an error
  std::optional<Error> error;  // kCancelled, kDeadlineExceeded, kTooLong or kEngineFailed
  Usage usage;                 // prompt_tokens: of all texts together
};

// As for a Request.
CHOIR_API Status validate(const EmbedRequest& request);

}  // namespace choir
