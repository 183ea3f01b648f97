// A sequence inside an executor: its value, plus what only this run of it knows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/kv_ledger.h"
#include "core/kv_state.h"
#include "core/sequence.h"
#include "policy/tenants.h"
#include "runtime/node_rules.h"
#include "runtime/request_state.h"
#include "runtime/reuse_scopes.h"

namespace choir {

struct LiveSequence {
  enum class Front : std::uint8_t { kOwn, kForked, kStandsBack };

  Sequence value;
  // What every step looks at, side by side: with many sequences the step is as long as the memory
  // that it walks through.
  std::shared_ptr<RequestState> request;
  KvCells computed;                  // tokens with a KV cell; the executor's ledger sets it
  Priority lifted = Priority::kLow;  // the best class that waiting has earned it; never falls
  bool gated = false;                // waits for others with which it is to begin
  bool released = false;             // may compute (policy/release.h)
  bool held = false;                 // not in this turn's plan
  bool begun = false;                // was in a pass
  bool ended = false;
  // Steps leave it alone (runtime/waiting.h, which sets this).
  struct Waits {
    bool queued = false;
    Instant look_at;
    Instant ends_at;
  };
  std::optional<Waits> waits;
  Front front =
      Front::kOwn;  // in this turn: has another's cells, or waits for them (policy/share.h)
  Instant arrived;
  Instant last_progress;               // last time it was in a pass
  Tenants::Account* tenant = nullptr;  // the executor's; counts it while it is there
  double tenant_weight = 1;            // as in `value`, where every pass looks
  ReuseScopes::Held scope;             // the executor's, while it is there
  std::optional<Instant> held_back;    // since when its reader is too far behind
  std::optional<Instant> parked;       // since when it is without its cells
  std::string text;                    // generated, of a request without a reader (RequestState)
  Usage usage;
  Nanos first_token{0};  // computed in passes until there was one

  ConversationKey conversation;  // its KV state is kept at the end; {0}: not
  std::string kv;                // parked KV state; empty: none
  std::int32_t kv_tokens = 0;    // that it holds
  std::int32_t kv_use = 0;       // of those, the first ones that are this sequence's
  bool reusing = false;          // `kv` is of an earlier request

  // It has cells again, or ends.
  void end_parked(Instant now) {
    if (parked) usage.parked_seconds += to_seconds(now - *parked);
    parked.reset();
    request->progress.parked.store(false, std::memory_order_relaxed);
  }
  std::int32_t pending() const { return value.known_tokens() - computed; }
  // The class it has now: with what waiting has earned it, and where classes count at all.
  Priority class_now(const NodeRules& node) const {
    return node.classes.load() ? lifted : Priority::kNormal;
  }
};

}  // namespace choir
