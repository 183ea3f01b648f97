// Prompts that are made when the executor of their request is in memory: a conversation's, whose
// tokens depend on the model and on the turn before.
#pragma once

#include <functional>
#include <vector>

#include "choir/result.h"
#include "choir/units.h"
#include "core/kv_state.h"

namespace choir {

class Executor;

// What a request begins with.
struct Opening {
  std::vector<TokenId> tokens;
  KvState kv;  // taken where the executor holds nothing of the conversation
};

// Makes it, for an executor that does not leave memory meanwhile. Called on a thread that may wait
// for a disk, and again if the executor has left before it took the request. An error ends the
// request, and so does what it throws.
using Opener = std::function<Result<Opening>(const Executor&)>;

struct LatePrompt {
  // Called where the tokens of the request are not known, or are those of another model.
  Opener open;
  // `open` comes with Runtime::open(): an earlier turn of its conversation has not ended.
  bool awaited = false;
};

}  // namespace choir
