// What sequences and conversations hold of an executor's KV cells: parked, restored, kept, reused.
#include <algorithm>

#include "runtime/executor.h"

namespace choir {

bool Executor::restore_parked() {
  if (parked_ == 0) return false;
  bool restored = false;
  std::int32_t cells_free = engine_->config().context_tokens - use().cells;
  bool dropped = false;
  std::erase_if(plan_.slices, [&](const Slice& slice) {
    LiveSequence& l = live(slice.seq);
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
  if (restored) return plan_.slices.empty();
  if (dropped && plan_.slices.empty()) {
    // Nothing else can run, so the room it waits for will not come: compute it again instead.
    for (const auto& l : live_) drop_parked(*l);
    return true;
  }
  return false;
}

void Executor::drop_parked(LiveSequence& live) {
  if (live.kv.empty()) return;
  park_.used -= live.kv.size();
  --parked_;
  live.kv = {};
  live.reusing = false;
}

void Executor::park(LiveSequence& live, Budget budget) {
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
}

void Executor::make_room() {
  if (wanted_.cells == 0) return;
  const EngineConfig& engine = engine_->config();
  const auto short_of_room = [&] {
    const KvUse held = use();
    return held.cells + wanted_.cells > engine.context_tokens ||
           held.slots + wanted_.slots > engine.sequences_max;
  };
  if (!short_of_room()) return;
  while (short_of_room() && kept_.evict_oldest(*engine_, park_)) {}
  // Begun under another policy and now told to wait: their cells are for those who may go on.
  for (LiveSequence* live : awake_)
    if (live->held && live->computed > 0 && short_of_room()) park(*live);
}

void Executor::count_reused(LiveSequence& live) {
  live.usage.reused_tokens = live.computed;
  stats_->reused_tokens.fetch_add(static_cast<std::uint64_t>(live.computed),
                                  std::memory_order_relaxed);
}

// A sequence that goes on where a conversation's last one ended: the cells become its own as far
// as the tokens are the same. At least one token is computed, for its logits.
void Executor::reuse(LiveSequence& live, KvState kv) {
  if (live.conversation == ConversationKey{}) return;
  auto entry = kept_.take(live.conversation);
  if (!entry) {
    if (kv.blob.empty() || kv.kv_type != engine_->config().kv_type) return;
    park_.used += kv.blob.size();
    entry = KeptStates::Entry{.seq = {},
                              .tokens = std::move(kv.tokens),
                              .blob = std::move(kv.blob),
                              .used = {},
                              .scope = scopes_.hold(kv.reuse_scope)};
  }
  const std::int32_t same =
      std::min(common_prefix(entry->tokens, live.value.tokens), live.value.known_tokens() - 1);
  // Not of another scope; nor where the first plan with it will find more elsewhere.
  if (entry->scope != live.scope || better_elsewhere(live, same)) {
    if (entry->resident())
      engine_->truncate(entry->seq, 0);
    else
      park_.used -= entry->blob.size();
    return;
  }
  if (entry->resident()) {
    engine_->rename(entry->seq, live.value.id);
    held_.set(live.computed, engine_->truncate(live.value.id, same));
    count_reused(live);
  } else if (same == 0) {
    park_.used -= entry->blob.size();
  } else {
    live.kv = std::move(entry->blob);
    live.kv_tokens = static_cast<std::int32_t>(entry->tokens.size());
    live.kv_use = same;
    live.reusing = true;
    ++parked_;
  }
}

void Executor::leave_kv(LiveSequence& live, Finish finish, Instant now) {
  const bool keep = live.conversation != ConversationKey{} && finish != Finish::kFailed;
  const auto tokens_of = [&](std::int32_t count) {
    return std::vector<TokenId>(live.value.tokens.begin(), live.value.tokens.begin() + count);
  };
  if (keep && live.computed > 0) {
    kept_.keep(live.conversation, {.seq = live.value.id,
                                   .tokens = tokens_of(live.computed),
                                   .blob = {},
                                   .used = now,
                                   .scope = live.scope});
  } else if (prefix_cache_ && live.conversation == ConversationKey{} && finish != Finish::kFailed &&
             live.computed >= kSharedTokensMin) {
    cache_.keep(live.value.id, tokens_of(live.computed), live.scope, *engine_);
  } else if (live.computed > 0) {
    engine_->truncate(live.value.id, 0);
  } else if (keep && !live.kv.empty() && live.kv_use == live.kv_tokens) {
    --parked_;  // its bytes stay in the budget
    kept_.keep(live.conversation, {.seq = {},
                                   .tokens = tokens_of(live.kv_tokens),
                                   .blob = std::move(live.kv),
                                   .used = now,
                                   .scope = live.scope});
    live.kv.clear();
  }
  held_.set(live.computed, 0);
  drop_parked(live);
}

void Executor::keep_only(const std::set<ConversationKey>& keys) {
  for (const ConversationKey key : kept_.keys())
    if (!keys.contains(key)) kept_.forget(key, *engine_, park_);
}

}  // namespace choir
