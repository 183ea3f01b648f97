// The KV state that executors of a node hold for conversations, for the owner of the conversations
// (context/conversations.h). Any thread.
#pragma once

#include <functional>
#include <set>
#include <string_view>

#include "base/guarded.h"
#include "choir/ids.h"
#include "choir/result.h"
#include "core/kv_state.h"
#include "runtime/executor_table.h"

namespace choir {

class Lanes;

class KeptKv {
 public:
  KeptKv(const ExecutorTable& table, Lanes& lanes) : table_(table), lanes_(lanes) {}

  // Whether the executor has KV state of this conversation now. Does not block.
  bool holds(std::string_view executor, ConversationKey key) const;
  // A copy of it; blocks for the executor's next turn. kNotFound where there is none.
  Result<KvState> copy(std::string_view executor, ConversationKey key);
  // Both are carried out in the executor's next turn and do not wait for it.
  void forget(std::string_view executor, ConversationKey key);
  void forget_others(std::string_view executor, std::set<ConversationKey> keep);

  // Told of every conversation whose executor leaves memory, on the thread that unloads it.
  using Keeper = std::function<void(ConversationKey, KvState)>;
  void set_keeper(Keeper keeper);
  // Gives what it holds to the keeper. Needs: `executor` was taken from the lanes.
  void hand_over(Executor& executor) const;

 private:
  const ExecutorTable& table_;
  Lanes& lanes_;
  Guarded<Keeper> keeper_;
};

}  // namespace choir
