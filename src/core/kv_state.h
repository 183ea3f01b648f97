// KV state outside an engine: what was computed, and for which tokens.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "choir/ids.h"
#include "choir/units.h"

namespace choir {

// A conversation, as executors know it: whose KV state to keep when a request ends. Unique in the
// process; {0}: none.
using ConversationKey = Id<struct ConversationTag>;

// A reuse scope inside one executor (runtime/reuse_scopes.h). {0}: none that a request has.
using ScopeId = Id<struct ScopeTag>;

// Which first tokens of a sequence its memory can be cut to, or give to another sequence.
enum class Fronts : std::uint8_t {
  kAny,    // any number of them; of a sliding window those that have not left it
  kWhole,  // all that it has: a state that moves on with every token
  kNone,   // none: a sequence that begins alike computes its own
};

struct KvState {
  std::string blob;               // from Engine::save(); empty: none
  std::vector<TokenId> tokens;    // all of them have a cell in it
  KvType kv_type = KvType::kF16;  // of the engine that saved it; no other takes it
  std::string reuse_scope = {};   // no request of another one takes it
  bool operator==(const KvState&) const = default;
};

inline std::int32_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<std::int32_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace choir
