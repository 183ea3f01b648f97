// What an executor's engine holds: the KV cells of live sequences, the kept states of
// conversations, the prefix cache, and the states that are parked outside as bytes.
//
// Owned by an executor and used by the thread that has its turn; kept().holds() and kept().count()
// from any thread. Owns the engine. No cell changes hands but through here, so use() is always what
// the engine holds, and parked bytes are always counted in the budget.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "core/kv_ledger.h"
#include "core/kv_state.h"
#include "core/step_plan.h"
#include "engine/engine.h"
#include "policy/share.h"
#include "runtime/cell_looks.h"
#include "runtime/executor_facts.h"
#include "runtime/kept_states.h"
#include "runtime/live_sequence.h"
#include "runtime/live_set.h"
#include "runtime/prefix_cache.h"
#include "runtime/reuse_scopes.h"

namespace choir {

// Functions: every way in which cells, kept states and parked bytes change hands, in one place so
// that the totals hold; a third of them only tell or set one value.
class ExecutorMemory {
 public:
  ExecutorMemory(const ExecutorFacts& facts, std::unique_ptr<Engine> engine,
                 std::uint64_t park_bytes_max)
      : facts_(facts), engine_(std::move(engine)), park_{.most = park_bytes_max} {}

  Engine& engine() { return *engine_; }
  const Engine& engine() const { return *engine_; }
  const EngineConfig& config() const { return engine_->config(); }
  // Of sequences and conversations: as far as plans are concerned, what is cached is free.
  KvUse use() const { return held_.use() + kept_.use(); }
  KvUse held_by_sequences() const { return held_.use(); }
  const KeptStates& kept() const { return kept_; }
  const PrefixCache& cache() const { return cache_; }
  ReuseScopes::Held scope(std::string_view name) { return scopes_.hold(name); }
  // All that a sequence could begin with, besides the cells of other sequences.
  void offer(std::vector<FrontSource>& sources) const;
  // All that holds cells, and which.
  void show(CellLook& look, std::span<const std::unique_ptr<LiveSequence>> all) const;

  // Cells of sequences.
  // It has computed so many tokens in a pass.
  void computed(LiveSequence& live, std::int32_t count) { held_.set(live.computed, count); }
  // What the engine says that it has.
  void look_again(LiveSequence& live) { computed(live, engine_->computed(live.value.id)); }
  // The first `tokens` cells of `from`, or fewer where the engine gives no part of them. `sources`
  // loses those that go for it.
  void fork(LiveSequence& live, SeqId from, std::int32_t tokens, bool whole,
            std::vector<FrontSource>& sources);
  // Those of a conversation, or `kv`; nullopt: there is nothing, or nothing that this engine takes.
  std::optional<KeptStates::Entry> take_kept(ConversationKey conversation, KvState kv);
  void drop(const KeptStates::Entry& entry);
  // The first `tokens` of them are the sequence's.
  void give(LiveSequence& live, KeptStates::Entry entry, std::int32_t tokens);
  // At the end of a sequence: what it computed goes to its conversation, or to the prefix cache.
  void leave(LiveSequence& live, Finish finish, Instant now);
  void count_reused(LiveSequence& live);
  // After a pass that failed, which may have taken the cells of any sequence.
  void forget_lost(std::span<const std::unique_ptr<LiveSequence>> all);

  // Parking: its cells are free, and its state is outside as bytes where the budget takes it.
  enum class Budget : std::uint8_t { kHeed, kIgnore };
  void park(LiveSequence& live, Budget budget = Budget::kHeed);
  // Turns slices of parked sequences into restored KV; true when the plan is worth another look.
  bool restore_parked(StepPlan& plan, LiveSet& live);

  // Room. Kept conversations leave the cells that those with work want; then those do that may not
  // compute.
  void make_room(KvUse wanted, std::span<LiveSequence* const> awake);
  // Cached states leave as many cells and slots as are to be taken now, and `sources`.
  void evict_cached(KvUse need, SeqId spared = {}, std::vector<FrontSource>* sources = nullptr);
  void evict_cached_for(const StepPlan& plan);
  // The engine found none though there should be: frees what is cached, or parks the newest.
  void free_some(std::span<const std::unique_ptr<LiveSequence>> all);

  // Between passes, for the node:
  std::optional<KvState> copy_kept(ConversationKey key) { return kept_.copy(key, *engine_); }
  void forget_kept(ConversationKey key) { kept_.forget(key, *engine_, park_); }
  void keep_only(const std::set<ConversationKey>& keys);
  void forget_cached();
  // Everything leaves the engine, and the totals begin anew: for when they may be wrong.
  void forget_all(std::span<const std::unique_ptr<LiveSequence>> all);
  void set_park_bytes_max(std::uint64_t most) { park_.most = most; }
  // Everything leaves the engine, which is swapped for `engine`.
  void swap_engine(std::unique_ptr<Engine>& engine,
                   std::span<const std::unique_ptr<LiveSequence>> all);
  // Another executor's from now on, or this one's.
  void hand_over(LiveSequence& live);
  std::map<ConversationKey, KvState> hand_over_kept();
  void take_over(LiveSequence& live);
  void take_over_kept(std::map<ConversationKey, KvState>&& kept);

  // For tests: whether the totals that are kept from step to step are what counting gives.
  bool books_balance(std::span<const std::unique_ptr<LiveSequence>> all) const;

 private:
  void drop_parked(LiveSequence& live);

  const ExecutorFacts& facts_;
  std::unique_ptr<Engine> engine_;
  ReuseScopes scopes_;  // of live sequences, kept_ and cache_
  KvLedger held_;       // by live sequences
  KeptStates kept_;
  PrefixCache cache_;
  ParkBudget park_;
  std::int32_t parked_ = 0;  // sequences with KV state outside
};

}  // namespace choir
