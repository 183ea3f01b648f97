// The KV state of conversations between their requests: in the engine's cells while no request
// needs them, then as bytes within the executor's budget, then gone (and computed again).
//
// Owned by an executor and used by the thread that has its turn; holds() from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "core/kv_ledger.h"
#include "core/kv_state.h"
#include "core/sequence.h"
#include "engine/engine.h"
#include "policy/share.h"
#include "runtime/cell_looks.h"
#include "runtime/reuse_scopes.h"

namespace choir {

// Bytes of KV state that an executor keeps outside its engine.
struct ParkBudget {
  std::uint64_t most = 0;
  std::uint64_t used = 0;
  bool takes(std::uint64_t bytes) const { return used + bytes <= most; }
};

class KeptStates {
 public:
  struct Entry {
    SeqId seq;                    // holds the cells; meaningless once parked
    std::vector<TokenId> tokens;  // with a cell, in order
    std::string blob;             // parked; empty: in the engine
    Instant used;
    ReuseScopes::Held scope;
    bool resident() const { return blob.empty(); }
  };

  // In place of what was kept for `key`, which frees its cells or its bytes in the budget. The
  // bytes of `entry` are counted already.
  void keep(ConversationKey key, Entry entry, Engine& engine, ParkBudget& budget);
  std::optional<Entry> take(ConversationKey key);
  // What the resident ones hold of the engine.
  const KvUse& use() const { return use_; }
  // For tests: whether use() is what counting gives; and the bytes of those that are parked.
  bool books_balance() const;
  std::uint64_t parked_bytes() const;
  void offer(std::vector<FrontSource>& sources) const;    // the resident ones
  void show(CellLook& look, const Engine& engine) const;  // the same
  // Frees the cells of the resident one that was used longest ago: parked if the budget takes it
  // (older parked ones make room), else forgotten. False when none is resident.
  bool evict_oldest(Engine& engine, ParkBudget& budget);
  // Every resident one leaves the engine, whatever the budget says; for a change of engine.
  void park_all(Engine& engine, ParkBudget& budget);
  void forget(ConversationKey key, Engine& engine, ParkBudget& budget);
  void clear(Engine& engine);
  // Those whose cells the engine does not have any more.
  void forget_lost(const Engine& engine);
  // A copy of the state, which stays.
  std::optional<KvState> copy(ConversationKey key, Engine& engine) const;
  std::vector<ConversationKey> keys() const;

  bool holds(ConversationKey key) const;
  std::int32_t count() const;

 private:
  void park(Entry& entry, std::string blob);

  std::map<ConversationKey, Entry> entries_;
  KvUse use_;  // kept up to date: every step asks, and there may be thousands of conversations
  Guarded<std::set<ConversationKey>> known_;  // the keys, for other threads
};

}  // namespace choir
