#include "runtime/kept_kv.h"

#include "runtime/executor.h"
#include "runtime/in_turn.h"

namespace choir {

bool KeptKv::holds(std::string_view executor, ConversationKey key) const {
  const auto loaded = table_.loaded(executor);
  return loaded && loaded->kept().holds(key);
}

Result<KvState> KeptKv::copy(std::string_view executor, ConversationKey key) {
  const auto none = fail(Code::kNotFound, "no KV state of this conversation is in memory");
  const auto loaded = table_.loaded(executor);
  if (!loaded || !loaded->kept().holds(key)) return none;
  auto state =
      CHOIR_TRY(in_turn(lanes_, *loaded, [key](Executor& e) { return e.memory().copy_kept(key); }));
  if (!state) return none;
  return std::move(*state);
}

void KeptKv::forget(std::string_view executor, ConversationKey key) {
  const auto loaded = table_.loaded(executor);
  if (!loaded) return;
  (void)loaded->post_job([key](Executor& e) { e.memory().forget_kept(key); });
  lanes_.ready(loaded->id(), Priority::kCritical);
}

void KeptKv::forget_others(std::string_view executor, std::set<ConversationKey> keep) {
  const auto loaded = table_.loaded(executor);
  if (!loaded) return;
  (void)loaded->post_job([keep = std::move(keep)](Executor& e) { e.memory().keep_only(keep); });
  lanes_.ready(loaded->id(), Priority::kCritical);
}

void KeptKv::set_keeper(Keeper keeper) {
  keeper_.with([&](Keeper& k) { k = std::move(keeper); });
}

void KeptKv::hand_over(Executor& executor) const {
  const Keeper keeper = keeper_.with([](const Keeper& k) { return k; });
  Executor::Belongings left = executor.extract();
  for (auto& [key, state] : left.kept)
    if (keeper) keeper(key, std::move(state));
}

}  // namespace choir
