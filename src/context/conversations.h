// Conversations of a process's executors: their turns one after the other, their KV state wherever
// it is, their histories in a store where one was given.
//
// An executor holds KV state only while it is in memory (runtime/kept_states.h); here is what
// outlives that. Where all KV state of a conversation is lost it is computed again from its tokens:
// only Usage::reused_tokens shows the difference. KV state is of the reuse scope of the
// turn that it is from; a turn of another scope goes on from the tokens alone.
//
// Threads: every call from any thread, also inside callbacks. Locks: a conversation has one for
// what is in memory, held for moments, and two for its files, held while they are written. The disk
// is waited for by the callers of create(), update(), erase() and attach(), by the thread that
// unloads an executor, and by threads of our own: the end of a turn is stored by one of `workers_`,
// KV state of conversations that rest by `writer_`. Both end with the object.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/process_exit.h"
#include "base/service.h"
#include "base/workers.h"
#include "context/conversation_folder.h"
#include "context/conversation_record.h"
#include "context/next_prompt.h"
#include "runtime/runtime.h"

namespace choir {

// Conversations of one executor. Each takes some 300 bytes of memory also while it rests.
inline constexpr std::size_t kConversationsMax = 1U << 16U;

// Functions: the life of a conversation from create() to erase(), and privately the steps of a turn
// and the ways of its KV state; all use the locks of one Talk, in one order.
class Conversations {
 public:
  struct Limits {
    // KV state kept here for executors that left memory and have no store.
    std::uint64_t aside_bytes_max = 1ULL << 30;
    // Histories in memory that are in a store too; beyond it those unused for longest are read
    // again when they are used. What runs is not counted out.
    std::uint64_t history_bytes_max = 64ULL << 20;
    // Histories that are in memory alone, of executors that have no store. Beyond it nothing is
    // created, changed or begun until some are erased; what runs goes on.
    std::uint64_t unstored_bytes_max = 1ULL << 30;
  };
  // kUnavailable: no threads.
  static Result<std::unique_ptr<Conversations>> start(const Limits& limits);
  static Result<std::unique_ptr<Conversations>> start() { return start(Limits{}); }
  // Needs: no request of a conversation is active any more.
  ~Conversations();
  Conversations(const Conversations&) = delete;
  Conversations& operator=(const Conversations&) = delete;

  // From now on `runtime` hands over the KV state of what it unloads.
  void serve(Runtime& runtime);
  // `executor` keeps its conversations in this folder, and at most `kv_bytes_max` of their KV
  // state; those that are there already are back, and each is read with its first use. Empty: in
  // memory only. kUnavailable: the folder cannot be used, or another process uses it.
  Status attach(const std::string& executor, const std::string& folder,
                std::uint64_t kv_bytes_max = kSnapshotBytesMax);
  // KV state is written to the store, then all of the executor's conversations are forgotten here.
  // Where it was the last user of the folder another process can have it at once. Needs: none of
  // its requests is active.
  void detach(const std::string& executor);

  // kAlreadyExists, kInvalidArgument, kOverloaded. An empty id: one is made. Returns the id.
  Result<std::string> create(ConversationRecord record);
  // Another history, system message, limit or metadata; what the new history has in common with
  // the old one at its front is not computed again. kOverloaded while a request runs in it.
  Status update(ConversationRecord record);
  // A turn whose prompt was made goes on and is told; those that wait, for a turn or for the model,
  // end as failed. Nothing of it is written any more when this has returned.
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
  // these calls. An answer that ends well (stop, length) becomes part of the history, and is in the
  // store, before it is told; one that was cancelled or ran out of time leaves no trace in it.
  // `request` has sampling, limits and names; its text is the message, and `system`, if not empty,
  // replaces the conversation's system message. `raw`: no chat template.
  //
  // Never waits for a model. Where the executor is in memory and no turn is before this one, the
  // conversation and its KV state are read and the message is tokenized on the calling thread, so
  // not inside a callback; an error there is that of the call. Else the turn waits as a request of
  // the node: it counts, can be cancelled, and its deadline runs. Its prompt is made on a thread of
  // the node when the executor is loaded and the turn before it has ended; what goes wrong then,
  // the load too, is its end.
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
  // Of histories that are in a store too, and of those that are in memory alone; for tests.
  std::uint64_t history_bytes() const;
  std::uint64_t unstored_bytes() const;

 private:
  // One call of say(), until its end is told.
  struct Pending {
    RequestId id;
    Turn turn;
    enum class State : std::uint8_t { kWaiting, kRunning, kDone } state = State::kWaiting;
    bool opened = false;  // its prompt is being made, or was: an erase lets it go on
  };
  // One conversation. Owned by the table, kept alive by its turns.
  struct Talk {
    enum class Phase : std::uint8_t {
      kComing,  // not in the store yet
      kHere,
      kGone,  // erased; for good when that is on the disk too
    };
    struct State {
      Phase phase = Phase::kHere;
      std::optional<ConversationRecord> record;  // nullopt: in the store only
      bool stored = true;                        // as `record` is; else it stays in memory
      std::weak_ptr<Runtime> runtime;            // of its last turn
      bool busy = false;                         // a turn runs, or a change
      std::shared_ptr<Pending> running;          // null: none, or a change
      std::deque<std::shared_ptr<Pending>> waiting;
      NextPrompt prompt;                    // of the running turn
      std::shared_ptr<const Model> model;   // that it is for
      std::uint64_t kv_turns = UINT64_MAX;  // record.turns whose KV state is in the store
      Instant used;
    };
    struct OnDisk {
      bool erased = false;  // nothing is written any more
    };

    Talk(std::string its_executor, std::string its_id, std::shared_ptr<ConversationFolder> whose);
    const ConversationKey key;
    const std::string executor;
    const std::string id;
    const std::shared_ptr<ConversationFolder> folder;  // null: in memory only
    // In this order where more than one is held.
    Guarded<OnDisk> snapshot;
    Guarded<OnDisk> stored_record;
    Guarded<State> state;
  };
  using TalkPtr = std::shared_ptr<Talk>;
  using Talks = std::map<std::string, TalkPtr>;  // by id
  struct Home {
    OpenFolders::Use use;
    Talks talks;
    std::uint64_t next_id = 1;
  };
  struct Table {
    std::map<std::string, Home> homes;  // by executor
    std::map<ConversationKey, TalkPtr> by_key;
    std::map<ConversationKey, TalkPtr> unwritten;  // whose KV state may have to be written
  };
  // KV state in memory of those that have no store.
  struct Aside {
    struct Entry {
      KvState state;
      Instant used;
    };
    std::map<ConversationKey, Entry> entries;
    std::uint64_t bytes = 0;
  };
  // Histories that could be read again; and bytes of those that could not.
  struct Histories {
    struct Entry {
      std::uint64_t bytes = 0;
      std::uint64_t use = 0;
      std::weak_ptr<Talk> talk;
    };
    std::map<ConversationKey, Entry> entries;
    std::map<ConversationKey, std::uint64_t> unstored;
    std::uint64_t bytes = 0;
    std::uint64_t unstored_bytes = 0;
    std::uint64_t last_use = 0;
  };

  explicit Conversations(const Limits& limits) : limits_(limits) {}

  // conversations.cc
  Result<TalkPtr> find(const std::string& executor, const std::string& id) const;
  Talks talks_of(const std::string& executor) const;
  Result<TalkPtr> reserve(const ConversationRecord& record);
  void forget(const Talk& talk);
  // What `use` returns, a Result or Status, of the conversation's state with its record in memory.
  template <class Use>
  auto with_record(const TalkPtr& talk, Use use) const -> std::invoke_result_t<Use, Talk::State&>;
  Status read(const TalkPtr& talk) const;
  // kOverloaded: `executor` has no store, and histories without one take all that they may.
  Status has_room(const std::string& executor, bool stored) const;
  // It is in memory and was just used: others may have to leave.
  void count_history(const TalkPtr& talk) const;

  // conversation_states.cc: KV state.
  void keep(ConversationKey key, KvState state);
  void put_aside(const Talk& talk, KvState state);
  KvState take_aside(const Talk& talk);
  void write_kv(const TalkPtr& talk, KvState state);
  KvState read_kv(const Talk& talk, const Model& model, KvType kv_type) const;
  Status begin_writing();

  // conversation_turns.cc
  // The end of turns that were waiting then.
  static Error was_deleted(const std::string& id);
  static Result<NextPrompt> next_prompt_of(const ConversationRecord& record, const Turn& turn,
                                           const Executor& executor);
  Result<ConversationRecord> record_for(const TalkPtr& talk, const Turn& turn) const;
  // What the node needs of the turn that is the talk's from now on, with the KV state to go on from
  // where the executor has none.
  Result<Opening> open(const TalkPtr& talk, const Turn& turn, const Executor& executor);
  Opener opener(const TalkPtr& talk, const std::shared_ptr<Pending>& pending);
  // Enqueues a turn that may begin: with its prompt where the executor is in memory.
  static Result<Submission> enqueue(Runtime& runtime, const Request& request, Callbacks callbacks,
                                    Continuation continuation, const Opener& open);
  Result<Submission> say_alone(Runtime& runtime, const TalkPtr& talk, Turn turn,
                               Callbacks callbacks);
  Result<Submission> say_first(Runtime& runtime, const TalkPtr& talk,
                               const std::shared_ptr<Pending>& pending, Callbacks callbacks);
  Result<Submission> say_later(Runtime& runtime, const TalkPtr& talk,
                               const std::shared_ptr<Pending>& pending, Callbacks callbacks);
  // What happens between the end of a turn and its being told.
  BeforeEnd before_end(const TalkPtr& talk, const std::shared_ptr<Pending>& pending);
  void ended(const TalkPtr& talk, const std::shared_ptr<Pending>& pending,
             const Completion& completion);
  Status add_to_history(const TalkPtr& talk, const Turn& turn, const Completion& completion);
  // The next waiting turn begins, if there is one.
  void next(const TalkPtr& talk);

  const Limits limits_;
  const SteadyClock clock_;
  OpenFolders folders_;  // outlives the homes
  Guarded<Table> table_;
  Guarded<Aside> aside_;
  mutable Guarded<Histories> histories_;
  Guarded<bool> writing_{false};  // there is a writer
  struct Look {};                 // at all that may have to be written
  Service<Instant, Look> writer_{"snapshots",
                                 [this](Instant& next, Nanos& again) -> std::optional<Look> {
                                   const Nanos left = next - clock_.now();
                                   if (left <= Nanos{0}) return Look{};
                                   again = std::min(again, left);
                                   return std::nullopt;
                                 }};
  std::unique_ptr<Workers> workers_;
  const ExitEntry at_exit_{ExitEntry::Turn::kLast,
                           {.ask = [this] { writer_.ask_to_stop(Left::kDropped); },
                            .wait = [this](Instant end) { writer_.stop_until(clock_, end); }}};
};

template <class Use>
auto Conversations::with_record(const TalkPtr& talk, Use use) const
    -> std::invoke_result_t<Use, Talk::State&> {
  using Answer = std::invoke_result_t<Use, Talk::State&>;
  for (;;) {
    auto answer = talk->state.with([&](Talk::State& s) -> std::optional<Answer> {
      if (!s.record) return std::nullopt;
      return use(s);
    });
    if (answer) return *std::move(answer);
    CHOIR_CHECK_OK(read(talk));
  }
}

}  // namespace choir
