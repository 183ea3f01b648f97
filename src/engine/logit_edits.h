// Changes of single logits before a draw: penalties for what was said, then the caller's bias.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "choir/ids.h"
#include "choir/request.h"

namespace choir {

// What an edit replaced, and memory to count tokens in; reused from draw to draw.
struct LogitEdits {
  struct Before {
    TokenId token = 0;
    float logit = 0;
  };
  std::vector<Before> before;         // in the order of the edits
  std::vector<std::uint32_t> counts;  // [vocab_tokens] at least, all zero between calls
};

// Penalties as in llama.cpp: over the last repeat_last_n of `recent`, prompt tokens too, once for
// each different token: divided by repeat_penalty (multiplied if not positive), less count *
// frequency_penalty + presence_penalty. Tokens outside the vocabulary are passed over.
// `edits.before` is replaced. Cost: O(repeat_last_n + bias), nothing where all is off.
void edit_logits(std::span<float> logits, const Sampling& sampling, std::span<const TokenId> recent,
                 LogitEdits& edits);

// Puts back what edit_logits changed.
void undo_edits(std::span<float> logits, const LogitEdits& edits);

}  // namespace choir
