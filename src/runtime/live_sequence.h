// A sequence inside an executor: its value, plus what only this run of it knows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/kv_state.h"
#include "core/sequence.h"
#include "core/step_plan.h"
#include "runtime/request_state.h"

namespace choir {

struct LiveSequence {
  Sequence value;
  std::shared_ptr<RequestState> request;
  std::int32_t computed = 0;  // tokens with a KV cell
  Instant arrived;
  Instant last_progress;             // last time it was in a pass
  Priority lifted = Priority::kLow;  // the best class that waiting has earned it; never falls
  double* tenant_served = nullptr;   // into the executor's table
  ConversationKey conversation;      // its KV state is kept at the end; {0}: not
  std::string kv;                    // parked KV state; empty: none
  std::int32_t kv_tokens = 0;        // that it holds
  std::int32_t kv_use = 0;           // of those, the first ones that are this sequence's
  bool reusing = false;              // `kv` is of an earlier request
  bool awaited = false;              // its tokens are not known yet: an earlier turn still runs
  bool gated = false;                // waits for others with which it is to begin
  bool released = false;             // may compute (policy/release.h)
  bool held = false;                 // not in this turn's plan
  enum class Front : std::uint8_t { kOwn, kForked, kStandsBack };
  Front front =
      Front::kOwn;  // in this turn: has another's cells, or waits for them (policy/share.h)
  std::optional<Instant> held_back;  // since when its reader is too far behind
  std::string text;                  // generated here
  Nanos first_token{0};              // computed in passes until there was one
  bool begun = false;                // was in a pass
  bool ended = false;
  Usage usage;

  std::int32_t pending() const { return value.known_tokens() - computed; }
};

}  // namespace choir
