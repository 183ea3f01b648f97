#include "runtime/executor_memory.h"

#include <algorithm>
#include <utility>

namespace choir {

void ExecutorMemory::offer(std::vector<FrontSource>& sources) const {
  kept_.offer(sources);
  cache_.offer(sources);
}

void ExecutorMemory::show(CellLook& look,
                          std::span<const std::unique_ptr<LiveSequence>> all) const {
  for (const auto& l : all) {
    if (l->computed == 0) continue;
    look.add({.use = CellUse::kRunning,
              .request = l->request->id,
              .tenant = l->value.tenant,
              .reuse_scope = l->scope->name(),
              .cells = l->computed},
             engine_->cell_runs(l->value.id));
  }
  kept_.show(look, *engine_);
  cache_.show(look, *engine_);
}

void ExecutorMemory::fork(LiveSequence& l, SeqId from, std::int32_t tokens, bool whole,
                          std::vector<FrontSource>& sources) {
  const bool cached = cache_.holds(from);
  if (!cached || !whole) evict_cached({.cells = 0, .slots = 1}, from, &sources);
  const bool no_slot = use().slots + cache_.use().slots >= config().sequences_max;
  if (cached && (whole || no_slot)) {
    engine_->rename(from, l.value.id);
    cache_.release(from);
    std::erase_if(sources, [&](const FrontSource& s) { return s.id == from; });
    held_.set(l.computed, engine_->truncate(l.value.id, tokens));
  } else if (!no_slot) {
    held_.set(l.computed, engine_->fork(from, l.value.id, tokens).value_or(0));
    cache_.touch(from);
  }
}

std::optional<KeptStates::Entry> ExecutorMemory::take_kept(ConversationKey conversation,
                                                           KvState kv) {
  auto entry = kept_.take(conversation);
  if (entry || kv.blob.empty() || kv.kv_type != config().kv_type) return entry;
  park_.used += kv.blob.size();
  return KeptStates::Entry{.seq = {},
                           .tokens = std::move(kv.tokens),
                           .blob = std::move(kv.blob),
                           .used = {},
                           .scope = scopes_.hold(kv.reuse_scope)};
}

void ExecutorMemory::drop(const KeptStates::Entry& entry) {
  if (entry.resident())
    engine_->truncate(entry.seq, 0);
  else
    park_.used -= entry.blob.size();
}

void ExecutorMemory::give(LiveSequence& live, KeptStates::Entry entry, std::int32_t tokens) {
  if (entry.resident()) {
    engine_->rename(entry.seq, live.value.id);
    held_.set(live.computed, engine_->truncate(live.value.id, tokens));
    count_reused(live);
  } else if (tokens == 0) {
    park_.used -= entry.blob.size();
  } else {
    live.kv = std::move(entry.blob);
    live.kv_tokens = static_cast<std::int32_t>(entry.tokens.size());
    live.kv_use = tokens;
    live.reusing = true;
    ++parked_;
  }
}

void ExecutorMemory::count_reused(LiveSequence& live) {
  live.usage.reused_tokens = live.computed;
  live.request->progress.reused_tokens.store(live.computed, std::memory_order_relaxed);
  facts_.counters().reused_tokens.fetch_add(static_cast<std::uint64_t>(live.computed),
                                            std::memory_order_relaxed);
}

void ExecutorMemory::leave(LiveSequence& live, Finish finish, Instant now) {
  const bool keep = live.conversation != ConversationKey{} && finish != Finish::kFailed;
  const auto tokens_of = [&](std::int32_t count) {
    return std::vector<TokenId>(live.value.tokens.begin(), live.value.tokens.begin() + count);
  };
  if (keep && live.computed > 0) {
    kept_.keep(live.conversation,
               {.seq = live.value.id,
                .tokens = tokens_of(live.computed),
                .blob = {},
                .used = now,
                .scope = live.scope},
               *engine_, park_);
  } else if (facts_.settings().prefix_cache && live.conversation == ConversationKey{} &&
             finish != Finish::kFailed && live.computed >= kSharedTokensMin) {
    cache_.keep(live.value.id, tokens_of(live.computed), live.scope, *engine_);
  } else if (live.computed > 0) {
    engine_->truncate(live.value.id, 0);
  } else if (keep && !live.kv.empty() && live.kv_use == live.kv_tokens) {
    --parked_;  // its bytes stay in the budget
    kept_.keep(live.conversation,
               {.seq = {},
                .tokens = tokens_of(live.kv_tokens),
                .blob = std::move(live.kv),
                .used = now,
                .scope = live.scope},
               *engine_, park_);
    live.kv.clear();
  }
  held_.set(live.computed, 0);
  drop_parked(live);
}

void ExecutorMemory::forget_lost(std::span<const std::unique_ptr<LiveSequence>> all) {
  for (const auto& l : all) {
    const std::int32_t left = engine_->computed(l->value.id);
    l->usage.recomputed_tokens += l->computed - left;
    held_.set(l->computed, left);
  }
  kept_.forget_lost(*engine_);
  cache_.forget_lost(*engine_);
}

bool ExecutorMemory::restore_parked(StepPlan& plan, LiveSet& live) {
  if (parked_ == 0) return false;
  bool restored = false;
  std::int32_t cells_free = config().context_tokens - use().cells;
  bool dropped = false;
  std::erase_if(plan.slices, [&](const Slice& slice) {
    LiveSequence& l = live.at(slice.seq);
    if (l.kv.empty()) {
      cells_free -= slice.count;
      return false;
    }
    dropped = true;
    if (l.kv_tokens > cells_free) return true;  // keeps its state and waits for room
    evict_cached({.cells = l.kv_tokens, .slots = 1});
    if (engine_->restore(slice.seq, l.kv)) {
      held_.set(l.computed, engine_->truncate(slice.seq, l.kv_use));
      if (l.reusing) count_reused(l);
      cells_free -= l.computed;
      restored = true;
    }
    drop_parked(l);
    return true;
  });
  if (restored) return plan.slices.empty();
  if (dropped && plan.slices.empty()) {
    // Nothing else can run, so the room it waits for will not come: compute it again instead.
    for (const auto& l : live.all()) drop_parked(*l);
    return true;
  }
  return false;
}

void ExecutorMemory::drop_parked(LiveSequence& live) {
  if (live.kv.empty()) return;
  park_.used -= live.kv.size();
  --parked_;
  live.kv = {};
  live.reusing = false;
}

void ExecutorMemory::park(LiveSequence& live, Budget budget) {
  if (live.computed == 0) return;
  const bool always = budget == Budget::kIgnore;
  if (always || park_.used < park_.most) {
    if (auto blob = engine_->save(live.value.id); blob && (always || park_.takes(blob->size()))) {
      park_.used += blob->size();
      ++parked_;
      live.kv_tokens = live.kv_use = live.computed;
      live.kv = std::move(*blob);
    }
  }
  if (live.kv.empty()) live.usage.recomputed_tokens += live.computed;
  engine_->truncate(live.value.id, 0);
  held_.set(live.computed, 0);
  live.request->progress.computed.store(live.kv.empty() ? 0 : live.kv_use,
                                        std::memory_order_relaxed);
  live.request->progress.parked.store(true, std::memory_order_relaxed);
  if (!live.parked) live.parked = facts_.clock().now();
}

void ExecutorMemory::make_room(KvUse wanted, std::span<LiveSequence* const> awake) {
  if (wanted.cells == 0) return;
  const EngineConfig& engine = config();
  const auto short_of_room = [&] {
    const KvUse held = use();
    return held.cells + wanted.cells > engine.context_tokens ||
           held.slots + wanted.slots > engine.sequences_max;
  };
  if (!short_of_room()) return;
  while (short_of_room() && kept_.evict_oldest(*engine_, park_)) {}
  // Begun under another policy and now told to wait: their cells are for those that may go on.
  for (LiveSequence* live : awake)
    if (live->held && live->computed > 0 && short_of_room()) park(*live);
}

void ExecutorMemory::evict_cached(KvUse need, SeqId spared, std::vector<FrontSource>* sources) {
  if (cache_.empty()) return;
  const KvUse held = use();
  const EngineConfig& engine = config();
  for (KvUse cached = cache_.use();
       held.cells + cached.cells + need.cells > engine.context_tokens ||
       held.slots + cached.slots + need.slots > engine.sequences_max;
       cached = cache_.use()) {
    const auto gone = cache_.evict_oldest(*engine_, spared);
    if (!gone) return;
    if (sources != nullptr)
      std::erase_if(*sources, [&](const FrontSource& source) { return source.id == *gone; });
  }
}

void ExecutorMemory::evict_cached_for(const StepPlan& plan) {
  if (cache_.empty()) return;
  KvUse need;
  for (const Slice& slice : plan.slices) {
    need.cells += slice.count;
    need.slots += slice.begin == 0 ? 1 : 0;
  }
  evict_cached(need);
}

void ExecutorMemory::free_some(std::span<const std::unique_ptr<LiveSequence>> all) {
  if (cache_.evict_oldest(*engine_)) return;
  const auto holder =
      std::find_if(all.rbegin(), all.rend(), [](const auto& l) { return l->computed > 0; });
  if (holder == all.rend()) return;
  park(**holder);
  facts_.counters().preemptions.fetch_add(1, std::memory_order_relaxed);
}

void ExecutorMemory::keep_only(const std::set<ConversationKey>& keys) {
  for (const ConversationKey key : kept_.keys())
    if (!keys.contains(key)) kept_.forget(key, *engine_, park_);
}

void ExecutorMemory::forget_cached() {
  cache_.clear(*engine_);
  facts_.counters().cached_cells.store(0, std::memory_order_relaxed);
}

void ExecutorMemory::forget_all(std::span<const std::unique_ptr<LiveSequence>> all) {
  for (const auto& l : all) {
    engine_->truncate(l->value.id, 0);
    held_.set(l->computed, 0);
    l->kv = {};
    l->reusing = false;
  }
  kept_.clear(*engine_);
  forget_cached();
  held_ = KvLedger();
  parked_ = 0;
  park_.used = 0;
}

void ExecutorMemory::swap_engine(std::unique_ptr<Engine>& engine,
                                 std::span<const std::unique_ptr<LiveSequence>> all) {
  for (const auto& l : all) park(*l, Budget::kIgnore);
  kept_.park_all(*engine_, park_);
  forget_cached();
  std::swap(engine, engine_);
}

void ExecutorMemory::hand_over(LiveSequence& live) {
  park(live, Budget::kIgnore);
  park_.used -= live.kv.size();
  if (!live.kv.empty()) --parked_;
}

std::map<ConversationKey, KvState> ExecutorMemory::hand_over_kept() {
  std::map<ConversationKey, KvState> states;
  for (const ConversationKey key : kept_.keys()) {
    if (auto state = copy_kept(key)) states.emplace(key, std::move(*state));
    forget_kept(key);
  }
  forget_cached();
  return states;
}

void ExecutorMemory::take_over(LiveSequence& live) {
  park_.used += live.kv.size();
  if (!live.kv.empty()) ++parked_;
  live.scope = scopes_.hold(live.value.reuse_scope);
  if (live.request->progress.parked.load()) live.parked = facts_.clock().now();
}

void ExecutorMemory::take_over_kept(std::map<ConversationKey, KvState>&& kept) {
  for (auto& [key, state] : kept) {
    park_.used += state.blob.size();
    kept_.keep(key,
               {.seq = {},
                .tokens = std::move(state.tokens),
                .blob = std::move(state.blob),
                .used = facts_.clock().now(),
                .scope = scopes_.hold(state.reuse_scope)},
               *engine_, park_);
  }
}

bool ExecutorMemory::books_balance(std::span<const std::unique_ptr<LiveSequence>> all) const {
  KvUse held;
  std::int32_t parked = 0;
  std::uint64_t parked_bytes = kept_.parked_bytes();
  for (const auto& l : all) {
    held = held + KvUse{l->computed, l->computed > 0 ? 1 : 0};
    parked += l->kv.empty() ? 0 : 1;
    parked_bytes += l->kv.size();
  }
  // Each scope has something in it; a table that only grows would not balance.
  const bool scoped = scopes_.count() <= all.size() + static_cast<std::size_t>(kept_.count()) +
                                             static_cast<std::size_t>(cache_.use().slots);
  return scoped && held == held_.use() && parked == parked_ && parked_bytes == park_.used &&
         kept_.books_balance() && cache_.books_balance();
}

}  // namespace choir
