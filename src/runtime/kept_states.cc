#include "runtime/kept_states.h"

namespace choir {
namespace {

KvUse use_of(const KeptStates::Entry& entry) {
  if (!entry.resident()) return {};
  return {.cells = static_cast<std::int32_t>(entry.tokens.size()), .slots = 1};
}

}  // namespace

void KeptStates::keep(ConversationKey key, Entry entry, Engine& engine, ParkBudget& budget) {
  forget(key, engine, budget);
  use_ = use_ + use_of(entry);
  entries_.emplace(key, std::move(entry));
  known_.with([&](auto& known) { known.insert(key); });
}

std::optional<KeptStates::Entry> KeptStates::take(ConversationKey key) {
  auto row = entries_.extract(key);
  if (row.empty()) return std::nullopt;
  use_ = use_ - use_of(row.mapped());
  known_.with([&](auto& known) { known.erase(key); });
  return std::move(row.mapped());
}

void KeptStates::park(Entry& entry, std::string blob) {
  use_ = use_ - use_of(entry);
  entry.blob = std::move(blob);
  use_ = use_ + use_of(entry);
}

bool KeptStates::books_balance() const {
  KvUse counted;
  for (const auto& [key, entry] : entries_) counted = counted + use_of(entry);
  return counted == use_;
}

std::uint64_t KeptStates::parked_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [key, entry] : entries_) bytes += entry.blob.size();
  return bytes;
}

void KeptStates::offer(std::vector<FrontSource>& sources) const {
  for (const auto& [key, entry] : entries_) {
    if (!entry.resident()) continue;
    const auto cells = static_cast<std::int32_t>(entry.tokens.size());
    sources.push_back({.id = entry.seq,
                       .tokens = entry.tokens,
                       .cells = cells,
                       .cells_after = cells,
                       .scope = entry.scope->id()});
  }
}

void KeptStates::show(CellLook& look, const Engine& engine) const {
  for (const auto& [key, entry] : entries_)
    if (entry.resident())
      look.add(CellUse::kKept, entry.scope->name(), entry.tokens.size(),
               engine.cell_runs(entry.seq));
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
  park(victim->second, std::move(*blob));
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
    park(entry, std::move(*blob));
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

void KeptStates::clear(Engine& engine) {
  for (const auto& [key, entry] : entries_)
    if (entry.resident()) engine.truncate(entry.seq, 0);
  entries_.clear();
  use_ = {};
  known_.with([](auto& known) { known.clear(); });
}

void KeptStates::forget_lost(const Engine& engine) {
  for (const ConversationKey key : keys()) {
    const Entry& entry = entries_.at(key);
    if (entry.resident() && engine.computed(entry.seq) != std::ssize(entry.tokens)) take(key);
  }
}

std::optional<KvState> KeptStates::copy(ConversationKey key, Engine& engine) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  KvState state{found->second.blob, found->second.tokens, engine.config().kv_type,
                found->second.scope->name()};
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
