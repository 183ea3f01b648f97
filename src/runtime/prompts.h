// From a request to the tokens and the sequence that an executor computes. Takes milliseconds for a
// long prompt; for the caller's thread or one of ours, never for a lane.
#pragma once

#include <string_view>
#include <vector>

#include "choir/request.h"
#include "choir/result.h"
#include "core/sequence.h"

namespace choir {

class Executor;

// kTooLong, with the numbers, for more than the executor takes; kInvalidArgument for an empty
// prompt, a token that the vocabulary does not have, or messages that the template refuses.
Result<std::vector<TokenId>> prompt_tokens(const Executor& executor, const Request& request);
// kTooLong where `tokens` leave no room for an answer; kInvalidArgument for none.
Status fits_in_context(const Executor& executor, std::size_t tokens);
// The same for a text that an encoder embeds.
Result<std::vector<TokenId>> embedding_tokens(const Executor& executor, std::string_view text);
// All but its ids and tokens.
Sequence make_sequence(const Executor& executor, const Request& request);

}  // namespace choir
