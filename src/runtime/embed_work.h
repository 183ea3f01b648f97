// What a request to embed has beside its RequestState: its texts as tokens, and their vectors.
//
// Owned by the RequestState. Made before it is posted, by the caller's thread or one of Background
// (make_embedding()); then the turn's owner of its executor writes, and after its end the
// dispatcher reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <future>
#include <utility>
#include <vector>

#include "choir/embedding.h"
#include "choir/units.h"

namespace choir {

struct EmbedWork {
  std::vector<std::vector<TokenId>> texts;  // at least one, none empty
  std::vector<Embedding> embeddings;        // of each text; vectors of those before `next`
  std::size_t next = 0;                     // the first text that is not computed
  std::promise<EmbedCompletion> promise;

  std::size_t longest() const {
    std::size_t most = 0;
    for (const auto& text : texts) most = std::max(most, text.size());
    return most;
  }
  EmbedCompletion completion(const Completion& end) const {
    EmbedCompletion done{
        .id = end.id, .executor = end.executor, .error = end.error, .usage = end.usage};
    if (!end.error) done.embeddings = embeddings;
    return done;
  }
};

}  // namespace choir
