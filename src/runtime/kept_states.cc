#include "runtime/kept_states.h"

namespace choir {

void KeptStates::keep(ConversationKey key, Entry entry) {
  entries_.insert_or_assign(key, std::move(entry));
  known_.with([&](auto& known) { known.insert(key); });
}

std::optional<KeptStates::Entry> KeptStates::take(ConversationKey key) {
  auto row = entries_.extract(key);
  if (row.empty()) return std::nullopt;
  known_.with([&](auto& known) { known.erase(key); });
  return std::move(row.mapped());
}

KvUse KeptStates::use() const {
  KvUse use;
  for (const auto& [key, entry] : entries_) {
    if (!entry.resident()) continue;
    use.cells += static_cast<std::int32_t>(entry.tokens.size());
    use.slots += 1;
  }
  return use;
}

void KeptStates::offer(std::vector<FrontSource>& sources) const {
  for (const auto& [key, entry] : entries_) {
    if (!entry.resident()) continue;
    const auto cells = static_cast<std::int32_t>(entry.tokens.size());
    sources.push_back(
        {.id = entry.seq, .tokens = entry.tokens, .cells = cells, .cells_after = cells});
  }
}

bool KeptStates::evict_oldest(Engine& engine, ParkBudget& budget) {
  const auto oldest = [&](bool resident) {
    auto found = entries_.end();
    for (auto at = entries_.begin(); at != entries_.end(); ++at)
      if (at->second.resident() == resident &&
          (found == entries_.end() || at->second.used < found->second.used))
        found = at;
    return found;
  };
  const auto victim = oldest(true);
  if (victim == entries_.end()) return false;
  auto blob = engine.save(victim->second.seq);
  engine.truncate(victim->second.seq, 0);
  if (!blob || blob->size() > budget.most) {
    take(victim->first);
    return true;
  }
  for (auto parked = oldest(false); !budget.takes(blob->size()) && parked != entries_.end();
       parked = oldest(false)) {
    budget.used -= parked->second.blob.size();
    take(parked->first);
  }
  if (!budget.takes(blob->size())) {  // parked sequences hold the rest of the budget
    take(victim->first);
    return true;
  }
  budget.used += blob->size();
  victim->second.blob = std::move(*blob);
  return true;
}

void KeptStates::park_all(Engine& engine, ParkBudget& budget) {
  for (const ConversationKey key : keys()) {
    Entry& entry = entries_.at(key);
    if (!entry.resident()) continue;
    auto blob = engine.save(entry.seq);
    engine.truncate(entry.seq, 0);
    if (!blob) {
      take(key);
      continue;
    }
    budget.used += blob->size();
    entry.blob = std::move(*blob);
  }
}

void KeptStates::forget(ConversationKey key, Engine& engine, ParkBudget& budget) {
  const auto entry = take(key);
  if (!entry) return;
  if (entry->resident())
    engine.truncate(entry->seq, 0);
  else
    budget.used -= entry->blob.size();
}

std::optional<KvState> KeptStates::copy(ConversationKey key, Engine& engine) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  KvState state{found->second.blob, found->second.tokens};
  if (found->second.resident()) {
    auto blob = engine.save(found->second.seq);
    if (!blob) return std::nullopt;
    state.blob = std::move(*blob);
  }
  return state;
}

std::vector<ConversationKey> KeptStates::keys() const {
  std::vector<ConversationKey> keys;
  for (const auto& [key, entry] : entries_) keys.push_back(key);
  return keys;
}

bool KeptStates::holds(ConversationKey key) const {
  return known_.with([&](const auto& known) { return known.contains(key); });
}

std::int32_t KeptStates::count() const {
  return known_.with([](const auto& known) { return static_cast<std::int32_t>(known.size()); });
}

}  // namespace choir
