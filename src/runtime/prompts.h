// From a request to the tokens and the sequence that an executor computes. Takes milliseconds for a
// long prompt; for the caller's thread or one of ours, never for a lane.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "choir/embedding.h"
#include "choir/request.h"
#include "choir/result.h"
#include "core/sequence.h"
#include "runtime/executor.h"

namespace choir {

// Its messages as the model's template renders them, or its text. kInvalidArgument: the template
// refuses them.
Result<Rendered> rendered_prompt(const Model& model, const Request& request);
// What ChatML, the default template, ends a prompt with.
inline constexpr std::string_view kChatMlAnswer = "<|im_start|>assistant\n";
// kTooLong, with the numbers, for more than the executor takes; kInvalidArgument for an empty
// prompt, a token that the vocabulary does not have, or messages that the template refuses.
Result<std::vector<TokenId>> prompt_tokens(const Executor& executor, const Request& request);
// kTooLong where `tokens` leave no room for an answer; kInvalidArgument for none.
Status fits_in_context(const Executor& executor, std::size_t tokens);
// The same for texts that an encoder embeds: the request's EmbedWork gets their tokens, cut where
// `truncate` says so, and what there is to say of them before they are computed. kInvalidArgument
// for a model that generates text.
Status make_embedding(const Executor& executor, const EmbedRequest& request, RequestState& state);
// All but its ids and tokens.
Sequence make_sequence(const Executor& executor, const Request& request);
// kInvalidArgument for an encoder, which generates nothing.
Status must_generate(const Executor& executor);
// A request that begins with `tokens` (none: they are not known yet), for the executor's mailbox.
Executor::Mail make_mail(const Executor& executor, const Request& request,
                         const std::shared_ptr<RequestState>& state, std::vector<TokenId> tokens);

}  // namespace choir
