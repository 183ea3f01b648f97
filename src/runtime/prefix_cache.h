// The KV cells of requests that have ended and belong to no conversation, for later requests
// that begin the same. They only save computing: a sequence that needs their room gets it, the
// oldest first, and they are never kept as bytes.
//
// Owned by an executor and used by the thread that has its turn.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/kv_ledger.h"
#include "core/step_plan.h"
#include "engine/engine.h"
#include "policy/share.h"
#include "runtime/cell_looks.h"
#include "runtime/reuse_scopes.h"

namespace choir {

class PrefixCache {
 public:
  // Every search looks at each of them, and more different fronts than this are rarely in use.
  static constexpr std::size_t kStatesMax = 32;

  // The cells that `seq` holds, one for each of `tokens`, are kept; those of states that are a
  // beginning of others of their scope are freed.
  void keep(SeqId seq, std::vector<TokenId> tokens, ReuseScopes::Held scope, Engine& engine);
  bool empty() const { return states_.empty(); }
  bool holds(SeqId seq) const;
  // What they hold of the engine, as if no cells were shared.
  const KvUse& use() const { return use_; }
  bool books_balance() const;  // for tests: use() is what counting gives
  void offer(std::vector<FrontSource>& sources) const;
  void show(CellLook& look, const Engine& engine) const;
  // It was of use: the youngest from now on.
  void touch(SeqId seq);
  // The cells are the caller's.
  void release(SeqId seq);
  // Frees the cells of the oldest but `spared`, and says whose they were; nullopt: there is none.
  std::optional<SeqId> evict_oldest(Engine& engine, SeqId spared = {});
  // Those whose cells the engine does not have any more.
  void forget_lost(const Engine& engine);
  void clear(Engine& engine);

 private:
  struct State {
    SeqId seq;
    std::vector<TokenId> tokens;
    ReuseScopes::Held scope;
  };
  static KvUse use_of(const State& state) {
    return {.cells = static_cast<std::int32_t>(state.tokens.size()), .slots = 1};
  }
  std::vector<State> states_;  // oldest first
  KvUse use_;                  // by states_
};

}  // namespace choir
