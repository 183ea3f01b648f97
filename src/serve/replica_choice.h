// Which replica of a model computes a request, by policy/route.h.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "choir/node.h"
#include "serve/asked.h"
#include "serve/client_rights.h"

namespace choir::serve {

// One executor of a model, as it is when a request comes.
struct Replica {
  ExecutorInfo info;
  std::int32_t coming = 0;  // requests that were sent to it and that the node does not count yet
};

// What a request shows before its prompt is rendered and tokenized.
struct PromptSight {
  // Of whose prompt it is, and how it begins; none: nothing of it can be reused.
  std::optional<std::size_t> mark = {};
  std::int32_t prompt_bytes = 0;
  std::int32_t output_tokens_max = 0;
};
// The mark has the tenant, what narrows reuse, and the messages up to the first one of a user, or
// the first 256 bytes or 64 tokens of a text: the turns of a chat have the same, and so have the
// continuations of a text. Shorter prompts are computed quickly wherever they go.
PromptSight sight_of(const Asked& asked, const Client& client);
// Of texts to embed, of which nothing is reused.
PromptSight sight_of(const EmbedRequest& request);

// Tokens of a prompt of which nothing else is known.
std::int32_t guessed_tokens(const PromptSight& sight);

// The replica that computed a prompt with the same mark, and how many tokens that had.
struct PrefixHolder {
  std::string executor;
  std::int32_t tokens = 0;
};

// The place in `replicas` of the one that gets the request: the holder, unless waiting there costs
// more than computing its prefix elsewhere; else the one with least left to do. One that is full or
// suspended gets nothing while another does not refuse. One that is not in memory gets nothing
// while another is; when none is, they are judged alike. nullopt only when `replicas` is empty.
std::optional<std::size_t> chosen(std::span<const Replica> replicas, const PromptSight& sight,
                                  const std::optional<PrefixHolder>& holder);

// Whether a request that comes now wants those there that are not in memory: each one that is has
// work already. So a load for them never drives out another idle replica.
bool wants_all(std::span<const Replica> replicas);

}  // namespace choir::serve
