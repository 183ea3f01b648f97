// The tokens of a conversation's next turn: what the model has seen already, as it saw it, and the
// new message behind it.
//
// A conversation's truth is its token list, not its text: generated tokens need not be those into
// which their text would be cut, and KV state belongs to tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "choir/result.h"
#include "context/conversation_record.h"
#include "engine/engine.h"

namespace choir {

struct NextPrompt {
  std::vector<TokenId> tokens;
  std::string covered;      // the text they stand for, with the assistant's turn opened
  std::string user;         // the message, behind one that the history ended with unanswered
  std::size_t dropped = 0;  // messages of the history that left at its front
};

struct PromptRules {
  std::int32_t tokens_max = 4096;       // of the prompt and its answer together
  std::int32_t answer_tokens = 256;     // asked for; the prompt leaves room for them, or a quarter
  bool raw = false;                     // contents one after the other, without a chat template
  Contents contents = Contents::kText;  // not of raw ones, which are parsed
};

// Pure but for the model's tokenizer and template. Over the limit the oldest turns leave until the
// rest takes at most three quarters of it, so that this is rare; the system message stays.
// kInvalidArgument, with the numbers, where not even the new message fits.
Result<NextPrompt> next_prompt(const Model& model, const ConversationRecord& record,
                               std::string_view user, const PromptRules& rules);

// The record after the answer: history, tokens and covered text. `tokens` are those generated.
void add_turn(const Model& model, ConversationRecord& record, NextPrompt prompt,
              std::string_view text, std::vector<TokenId> tokens);

}  // namespace choir
