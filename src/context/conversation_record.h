// A conversation as it is kept: all that must survive a restart, as one plain value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "choir/ids.h"
#include "choir/request.h"

namespace choir {

// What a store takes, beside kNameBytesMax, kMessagesMax and kPromptBytesMax (system and history
// together). Twice a prompt's, since answers and the template's own words come on top.
inline constexpr std::size_t kConversationTokensMax = 2 * kPromptTokensMax;
inline constexpr std::size_t kCoveredBytesMax = 2 * kPromptBytesMax;
inline constexpr std::size_t kMetadataBytesMax = 1U << 20U;  // keys and values; notes, not files

struct ConversationRecord {
  std::string executor;           // whose conversation it is
  std::string id;                 // unique in the executor
  std::string system;             // system message; empty: none
  std::vector<Message> history;   // user, assistant, user, ... oldest first
  std::vector<TokenId> tokens;    // the truth: what the model has seen, generated tokens included
  std::string covered;            // the rendered text that `tokens` stands for
  std::string model_fingerprint;  // of the vocabulary of `tokens`; empty while there are none
  std::int32_t tokens_max = 0;    // oldest turns leave above it; 0: the executor's own limit
  bool maintain = true;           // false: every request starts anew, nothing is appended
  std::map<std::string, std::string> metadata;
  std::int64_t created_ms = 0;  // Unix time
  std::int64_t last_used_ms = 0;
  std::uint64_t turns =
      0;  // requests answered; grows with every change of tokens: a snapshot's age
  bool operator==(const ConversationRecord&) const = default;
};

}  // namespace choir
