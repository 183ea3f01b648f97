#include "runtime/prefix_cache.h"

#include <algorithm>

#include "core/kv_state.h"

namespace choir {
namespace {

bool begins(const std::vector<TokenId>& front, const std::vector<TokenId>& all) {
  return front.size() <= all.size() &&
         common_prefix(front, all) == static_cast<std::int32_t>(front.size());
}

}  // namespace

void PrefixCache::keep(SeqId seq, std::vector<TokenId> tokens, ReuseScopes::Held scope,
                       Engine& engine) {
  for (const State& state : states_) {
    if (state.scope != scope || !begins(tokens, state.tokens)) continue;
    engine.truncate(seq, 0);
    touch(state.seq);
    return;
  }
  std::erase_if(states_, [&](const State& state) {
    if (state.scope != scope || !begins(state.tokens, tokens)) return false;
    engine.truncate(state.seq, 0);
    use_ = use_ - use_of(state);
    return true;
  });
  if (states_.size() >= kStatesMax) evict_oldest(engine);
  states_.push_back({seq, std::move(tokens), std::move(scope)});
  use_ = use_ + use_of(states_.back());
}

bool PrefixCache::holds(SeqId seq) const {
  return std::ranges::find(states_, seq, &State::seq) != states_.end();
}

bool PrefixCache::books_balance() const {
  KvUse counted;
  for (const State& state : states_) counted = counted + use_of(state);
  return counted == use_;
}

void PrefixCache::offer(std::vector<FrontSource>& sources) const {
  for (const State& state : states_) {
    const auto cells = static_cast<std::int32_t>(state.tokens.size());
    sources.push_back({.id = state.seq,
                       .tokens = state.tokens,
                       .cells = cells,
                       .cells_after = cells,
                       .scope = state.scope->id()});
  }
}

void PrefixCache::show(CellLook& look, const Engine& engine) const {
  for (const State& state : states_)
    look.add(CellUse::kCached, state.scope->name(), state.tokens.size(),
             engine.cell_runs(state.seq));
}

void PrefixCache::touch(SeqId seq) {
  const auto at = std::ranges::find(states_, seq, &State::seq);
  if (at != states_.end()) std::rotate(at, at + 1, states_.end());
}

void PrefixCache::release(SeqId seq) {
  std::erase_if(states_, [&](const State& state) {
    if (state.seq != seq) return false;
    use_ = use_ - use_of(state);
    return true;
  });
}

std::optional<SeqId> PrefixCache::evict_oldest(Engine& engine, SeqId spared) {
  const auto oldest =
      std::ranges::find_if(states_, [&](const State& state) { return state.seq != spared; });
  if (oldest == states_.end()) return std::nullopt;
  const SeqId seq = oldest->seq;
  engine.truncate(seq, 0);
  use_ = use_ - use_of(*oldest);
  states_.erase(oldest);
  return seq;
}

void PrefixCache::forget_lost(const Engine& engine) {
  std::erase_if(states_, [&](const State& state) {
    if (engine.computed(state.seq) == std::ssize(state.tokens)) return false;
    use_ = use_ - use_of(state);
    return true;
  });
}

void PrefixCache::clear(Engine& engine) {
  for (const State& state : states_) engine.truncate(state.seq, 0);
  states_.clear();
  use_ = {};
}

}  // namespace choir
