// Conversations of a process's executors: their turns one after the other, their KV state wherever
// it is, their histories in a store where one was given.
//
// An executor holds KV state only while it is in memory (runtime/kept_states.h); here is what
// outlives that. Where all KV state of a conversation is lost it is computed again from its tokens:
// nobody sees the difference but in Usage::reused_tokens.
//
// Threads: every call from any thread, also inside callbacks.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "context/conversation_record.h"
#include "context/next_prompt.h"
#include "context/store.h"
#include "runtime/runtime.h"

namespace choir {

class Conversations {
 public:
  // `aside_bytes_max`: KV state kept here for executors that left memory and have no store.
  explicit Conversations(std::uint64_t aside_bytes_max = 1ULL << 30);
  ~Conversations();
  Conversations(const Conversations&) = delete;
  Conversations& operator=(const Conversations&) = delete;

  // From now on `runtime` hands over the KV state of what it unloads.
  void serve(Runtime& runtime);
  // `executor` keeps its conversations in this folder; those that are there already are back.
  // Empty: in memory only. kUnavailable: the folder cannot be used, or another process uses it.
  Status attach(const std::string& executor, const std::string& folder);
  // KV state is written to the store, then all of the executor's conversations are forgotten here.
  // Needs: none of its requests is active.
  void detach(const std::string& executor);

  // kAlreadyExists, kInvalidArgument. An empty id: one is made. Returns the id.
  Result<std::string> create(ConversationRecord record);
  // Another history, system message, limit or metadata; what the new history has in common with
  // the old one at its front is not computed again. kOverloaded while a request runs in it.
  Status update(ConversationRecord record);
  // What runs in it goes on and is told; what waits ends as failed.
  Status erase(const std::string& executor, const std::string& id);
  Result<ConversationRecord> get(const std::string& executor, const std::string& id) const;
  std::vector<std::string> ids(const std::string& executor) const;
  // {0} when there is none.
  ConversationKey key(const std::string& executor, const std::string& id) const;
  // The executor lives in another node from now on.
  void moved(const std::string& executor, Runtime& runtime);
  // Copies all of them, with their KV state, for an executor of the same model file.
  Status copy_all(const std::string& from, const std::string& to);

  // The user's next message. Requests in one conversation run one after the other, in the order of
  // these calls. An answer that ends well (stop, length) becomes part of the history before it is
  // told; one that was cancelled or ran out of time leaves no trace in it.
  // `request` has sampling, limits and names; its text is the message, and `system`, if not empty,
  // replaces the conversation's system message. `raw`: no chat template.
  struct Turn {
    Request request;
    std::string system;
    bool raw = false;
    std::int64_t now_ms = 0;  // Unix time, for the record
  };
  Result<Submission> say(Runtime& runtime, const std::string& id, Turn turn, Callbacks callbacks);

  // Writes KV state of conversations with a store that have not been used for `idle`; returns how
  // many were written. Called by the writer thread; and by tests.
  int write_behind(std::chrono::milliseconds idle);

 private:
  // One call of say(), until its end is told.
  struct Pending {
    RequestId id;
    Turn turn;
    enum class State : std::uint8_t { kWaiting, kRunning, kDone } state = State::kWaiting;
  };
  // One conversation. Owned by the table, kept alive by its turns.
  struct Talk {
    ConversationRecord record;
    ConversationKey key;
    std::weak_ptr<Runtime> runtime;            // of its last turn
    std::shared_ptr<ConversationStore> store;  // null: in memory only
    std::string folder;
    bool busy = false;
    bool erased = false;
    std::deque<std::shared_ptr<Pending>> waiting;
    NextPrompt prompt;                   // of the running turn
    std::shared_ptr<const Model> model;  // that it is for
    KvState aside;
    std::uint64_t turns_written = 0;  // record.turns whose KV state is in the store
    Instant used;
  };
  using Talks = std::map<std::string, std::shared_ptr<Talk>>;  // by id
  struct Home {
    std::string folder;
    std::shared_ptr<ConversationStore> store;
    Talks talks;
  };
  struct Table {
    std::map<std::string, Home> homes;  // by executor
    std::map<ConversationKey, std::shared_ptr<Talk>> by_key;
    std::map<std::string, std::weak_ptr<ConversationStore>> stores;  // by folder
    std::uint64_t aside_bytes = 0;
    std::uint64_t next_id = 1;
  };

  void keep(ConversationKey key, KvState state);
  Talks talks_of(const std::string& executor) const;
  Result<std::shared_ptr<Talk>> find(const std::string& executor, const std::string& id) const;
  // The next turn's prompt, and the KV state to go on from where the executor has none.
  struct Prepared {
    NextPrompt prompt;
    std::shared_ptr<const Model> model;
    KvState kv;
  };
  Result<Prepared> prepare(const std::shared_ptr<Talk>& talk, const Turn& turn, Runtime& runtime);
  // The same for the turn that is the talk's from now on: what the node needs of it.
  struct Opening {
    std::vector<TokenId> tokens;
    KvState kv;
  };
  Result<Opening> open(const std::shared_ptr<Talk>& talk, const Turn& turn, Runtime& runtime);
  void ended(const std::shared_ptr<Talk>& talk, const std::shared_ptr<Pending>& pending,
             const Completion& completion);
  void store(const std::shared_ptr<Talk>& talk, const ConversationRecord& record);
  // The next waiting turn begins, if there is one.
  void next(const std::shared_ptr<Talk>& talk);
  void begin(const std::shared_ptr<Talk>& talk, const std::shared_ptr<Pending>& pending,
             Runtime& runtime);
  void write_kv(const std::shared_ptr<Talk>& talk, KvState state);
  void writer();

  const std::uint64_t aside_bytes_max_;
  const SteadyClock clock_;
  Guarded<Table> table_;
  Monitor<bool> stopping_{false};
  std::thread writer_;
};

}  // namespace choir
