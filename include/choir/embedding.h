// Texts that an encoder turns into vectors: the request and its completion.
//
// Plain values, for any thread. Node::submit_embed() and enqueue_embed() check a request with
// validate().
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
  // Exactly one of texts and tokens is set, with 1 .. kEmbedTextsMax entries; none may be without
  // tokens. texts: UTF-8, together at most kPromptBytesMax bytes.
  std::vector<std::string> texts;
  // Texts as tokens of the model, computed as they are: the marks that the model puts around a text
  // are not added. Together at most kPromptTokensMax.
  std::vector<std::vector<TokenId>> tokens = {};
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
  std::int32_t tokens = 0;         // computed; of a text, with the marks that the model adds
  bool truncated = false;          // the text had more
  bool operator==(const Embedding&) const = default;
};

// How a request to embed ended.
struct EmbedCompletion {
  RequestId id;
  std::string executor;
  std::vector<Embedding> embeddings =
      {};  // of each text, in their order; empty where there is an error
  // kCancelled, kDeadlineExceeded, kTooLong or kEngineFailed; after enqueue_embed() also what the
  // load of the executor, or the model that it loaded, refuses.
  std::optional<Error> error;
  Usage usage;  // prompt_tokens: of all texts together
};

// As for a Request.
CHOIR_API Status validate(const EmbedRequest& request);

}  // namespace choir
