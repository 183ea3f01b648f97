// The requests of a node that have not ended: how many are in which executor, and whether more may
// come in.
//
// One lock for all of it, held for moments and never while a model loads, a pass computes or a
// prompt is tokenized. Under it the locks of ExecutorTable, Lanes, RequestDirectory, Leases,
// Background and of an executor's mailboxes may be taken, and no other.
//
// Any thread may call. Only what is named wait_... blocks, and what says so.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/patience.h"
#include "choir/embedding.h"
#include "choir/ids.h"
#include "choir/prepared.h"
#include "choir/request.h"
#include "choir/result.h"
#include "policy/queue_share.h"
#include "runtime/executor.h"
#include "runtime/executor_table.h"
#include "runtime/lanes.h"
#include "runtime/node_rules.h"
#include "runtime/observing.h"
#include "runtime/request_directory.h"
#include "runtime/request_home.h"

namespace choir {

// What is active in one executor.
struct Activity {
  enum class Door : std::uint8_t {
    kOpen,
    kAway,  // being unloaded or moved: a request that comes waits for the outcome
    kShut,  // being removed
  };
  std::int32_t requests = 0;
  double estimated_seconds = 0;
  Instant last_used;
  Door door = Door::kOpen;
  bool suspended = false;
  std::int32_t arriving = 0;  // of the requests: not handed to the executor yet
  std::int32_t claims = 0;    // callers that are about to use it (ActiveRequests::claim())

  bool unused() const { return requests == 0 && claims == 0; }
};

// How a request goes on with a conversation (context/conversations.h).
struct Continuation {
  ConversationKey key;
  KvState kv;  // taken where the executor holds nothing of this conversation
  BeforeEnd before_end = {};
};

// A request that was accepted before its executor could take it (runtime/arrivals.h).
struct Arrival {
  std::shared_ptr<RequestState> request;
  std::optional<Prepared> prepared = {};  // unset: it embeds
  EmbedRequest embed = {};                // of one that embeds; its EmbedWork is made from it
  Continuation continuation = {};
  LatePrompt late = {};
};

// Functions: every question about what is active and every change of it, in one place because one
// lock covers them; the sections say of what they are.
class ActiveRequests final : public RequestHome {
 public:
  struct Rules {
    std::size_t queue_max = 1024;             // requests in an executor
    NodeRules* node = nullptr;                // outlives this, as all that is handed in
    Executor::Notify notify;                  // a request that has no executor has ended
    std::function<void(ExecutorId)> arrived;  // called under the lock
    std::function<void(ExecutorId)> unused;   // an executor is from now on; called under the lock
    // end_arrivals() is to be called then, at the latest.
    std::function<void(ExecutorId, Instant)> look_at_arrivals;
  };
  ActiveRequests(const ExecutorTable& table, Lanes& lanes, const Observing& observing,
                 const Clock& clock, Rules rules);
  // Requests whose ends no thread could wait for end with the node.
  ~ActiveRequests() override;

  // ---- The node.
  // No new requests: the node is shutting down.
  void close();
  // No new requests: the node is drained. kDraining from then on.
  void drain();
  Status not_draining() const;
  // kCancelled once close() was called.
  Status not_closing() const;
  bool takes_requests() const { return not_draining().has_value() && not_closing().has_value(); }
  std::int32_t count() const;  // of requests
  void wait_idle();
  // False, with what is left, when the time was over.
  struct Left {
    std::int32_t requests = 0;    // that generate
    std::int32_t embeddings = 0;  // that embed
    std::int32_t suspended = 0;   // of both, in suspended executors
  };
  std::optional<Left> wait_idle_until(Instant end);
  void wait_no_requests_until(Instant end);
  // Whether only one request may run in the node (ExecutionPolicy::kSequential).
  void set_one_request(bool one);

  // ---- One executor.
  // It was added, or is gone.
  void open(ExecutorId id, Activity::Door door = Activity::Door::kOpen);
  void forget(ExecutorId id);
  std::optional<Activity> activity(ExecutorId id) const;
  std::map<ExecutorId, Activity> activities() const;
  // From now on no request comes in, for a while: it is unloaded, or moves. kNotFound when it is
  // leaving already; kOverloaded when requests are active and `busy_too` is not set.
  Status close_door(const ExecutorRow& row, bool busy_too);
  // The same for one that leaves without being asked to: kOverloaded also while it is claimed.
  Status close_door_of_unused(const ExecutorRow& row);
  void open_door(ExecutorId id);
  // While a claim lives its executor does not leave without being asked to: a request is about to
  // use it, and may have to load it first. It ends before this does.
  using Claim = std::shared_ptr<void>;
  Claim claim(ExecutorId id);
  // It was loaded: it is as if it had been used now.
  void touch(ExecutorId id);
  // From now on no request comes in any more. Waits while its door is kAway; false when another
  // thread removes it, or has. `suspend`: it need not compute for what is about to be cancelled.
  bool wait_shut(const ExecutorRow& row, bool suspend);
  void wait_while_away(ExecutorId id);
  // Until nothing of it is active, counted here; requests that have moved elsewhere are not.
  void wait_empty(ExecutorId id);
  // Until no request says that it is in there, also those whose end is just being told.
  void wait_none_in(ExecutorId id);
  // Calls change(Activity&) under the lock when its door is not kAway; waits while it is, since the
  // outcome may be another executor. kNotFound when it has gone, or is being removed and
  // `shut_too` is not set.
  enum class ShutToo : std::uint8_t { kNo, kYes };
  template <class F>
  Status wait_change(const ExecutorRow& row, ShutToo shut_too, F&& change) {
    return *state_.wait([&](State& s) -> std::optional<Status> {
      const auto found = s.by_executor.find(row.id);
      const bool gone = found == s.by_executor.end();
      if (gone || (found->second.door == Activity::Door::kShut && shut_too == ShutToo::kNo))
        return fail(Code::kNotFound, "executor '" + row.config.name + "' is just leaving");
      if (found->second.door == Activity::Door::kAway) return std::nullopt;
      Status changed = change(static_cast<Activity&>(found->second));
      count_shown();
      next_request(s);
      return changed;
    });
  }

  // Suspends or resumes an executor that was just made, as its name says it should be.
  void heed_suspend(Executor& executor) const;

  // ---- One request.
  // kIn: the mail is the executor's. kAgain: look the executor up again by its name.
  enum class Entry : std::uint8_t { kIn, kAgain };
  // Requests of one tenant that come together: all come in or none does, and then the mail is as it
  // was. Waits while the executor's door is kAway.
  Result<Entry> wait_enlist(Executor& executor, std::span<Executor::Mail> mail);
  // The same of a request to embed.
  Result<Entry> wait_enlist(Executor& executor, const std::shared_ptr<RequestState>& request);
  // The same without waiting; nullopt: its door is kAway.
  std::optional<Result<Entry>> enlist(Executor& executor, std::span<Executor::Mail> mail);
  std::optional<Result<Entry>> enlist(Executor& executor,
                                      const std::shared_ptr<RequestState>& request);
  // All, or those of one executor; by id.
  std::vector<std::shared_ptr<RequestState>> requests(std::optional<ExecutorId> only = {}) const;
  void cancel_all(std::optional<ExecutorId> only);

  // ---- Requests that are accepted before their executor takes them.
  // All or none, as above. kAgain: look the executor up again by its name.
  Result<Entry> hold(const ExecutorRow& row, std::span<Arrival> arrivals);
  bool has_arrivals(ExecutorId id) const;
  // Those that can be handed over now, so none that is awaited; each one has to be given to admit()
  // or its executor does not leave. Empty while its door is kAway.
  std::vector<Arrival> take_arrivals(ExecutorId id);
  // An error ends the request with it.
  void admit(Executor& executor, const std::shared_ptr<RequestState>& request,
             Result<Executor::Mail> mail);
  // The same of a request to embed; `made`: its EmbedWork.
  void admit_embedding(Executor& executor, const std::shared_ptr<RequestState>& request,
                       Status made);
  void fail_arrivals(ExecutorId id, const Error& error);
  // Those that were cancelled, and those that are late. Asks to be called for the next one.
  void end_arrivals(ExecutorId id);

  // ---- Moves of requests that are in.
  // Gives up to `count` of `from`, which has its turn, to `to`; both run the same model. How many.
  std::int32_t move_queued(Executor& from, const std::shared_ptr<Executor>& to, std::int32_t count);
  // An executor goes to another node (runtime/moves.h); its door is kAway. What it has not taken
  // yet is given out, and nothing more is held for it. Its requests are active here until
  // hand_over().
  struct Withheld {
    std::vector<Arrival> arrivals;
    bool suspended = false;
  };
  Withheld freeze(ExecutorId id);
  // It stays. `arrivals`: those that were given out. Its door opens.
  void thaw(ExecutorId id, std::vector<Arrival> arrivals);
  // `requests` of it are in the other node. What came for them meanwhile follows them there.
  void hand_over(ExecutorId id, const std::vector<RequestId>& requests);
  // An executor has come with these requests; `take_in` gives it those that are not arrivals. Its
  // door opens.
  struct Adopted {
    std::vector<std::shared_ptr<RequestState>> computed;
    std::vector<Arrival> arrivals;
    bool suspended = false;
  };
  void adopt(Executor& heir, Adopted adopted, const RequestJob& take_in);

  // RequestHome
  void drained(const RequestState& request) override;
  void ended(const RequestState& request, const Completion& completion) override;
  void cancelled(const RequestState& request) override;
  bool post(const RequestState& request, const RequestJob& job) override;
  bool open(const RequestState& request, const Opener& open) override;
  bool refuse(const RequestState& request, const Error& error) override;

 private:
  struct InExecutor : Activity {
    QueueShares shares;  // of the requests
    // Calls that came while it is moving: made again, without the lock, when it has moved or stays.
    std::vector<std::function<void()>> late_calls;
    std::vector<Arrival> arrivals;
    std::int32_t admitting = 0;  // arrivals that were taken and not admitted yet
    bool frozen = false;         // what was in it is a value, or in another node
  };
  struct State {
    std::unordered_map<RequestId, std::shared_ptr<RequestState>> requests;  // not ended
    std::map<ExecutorId, InExecutor> by_executor;
    bool closing = false;  // the node takes no more

    bool idle() const { return requests.empty(); }
  };

  // Where a request comes in; null: look the executor up again by its name. The error of a node or
  // an executor that takes none.
  Result<const InExecutor*> entrance(const State& s, ExecutorId id, const std::string& name) const;
  // Whether one may come in now; nullopt: wait, it is just leaving or moving.
  std::optional<Result<Entry>> at_door(const State& s, const Executor& executor) const;
  // `items` have a `request`; all of them are of one tenant. `post()` gives them to the executor,
  // or returns false where that is full.
  template <class Items, class Post>
  std::optional<Result<Entry>> enlist(State& s, Executor& executor, const Items& items, Post post);
  std::optional<Result<Entry>> enlist(State& s, Executor& executor,
                                      const std::shared_ptr<RequestState>& request);
  // What take_arrivals() gave out is the executor's by `post()`, or ends with `error`.
  template <class Post>
  void let_in(Executor& executor, const std::shared_ptr<RequestState>& request, const Error* error,
              Post post);
  // kOverloaded where `count` more like `request` would be too many, in all or of its tenant.
  Status has_room(InExecutor& executor, const std::string& name, const RequestState& request,
                  std::size_t count) const;
  void count_in(State& s, InExecutor& executor, const std::shared_ptr<RequestState>& request);
  void end_without_executor(ExecutorId id, const std::shared_ptr<RequestState>& request,
                            Finish finish, Error error) const;
  enum class Heed : std::uint8_t { kNothing, kRequests, kClaims };
  Status close_door(const ExecutorRow& row, Heed heed);
  // Takes those out of which `over(arrival)` is true.
  template <class Over>
  static std::vector<Arrival> take_out(InExecutor& executor, Over over);
  void uncount(State& s, const RequestState& request);
  // Under the lock, after what is arriving or suspended, or the door of the node, has changed.
  void count_shown() const { rules_.node->shown.count(); }
  void tell_if_unused(ExecutorId id, const Activity& activity) const;
  void strike(const RequestState& request);
  // Where one request runs at a time: whose turn it is. Wakes its executor.
  void next_request(State& s);
  // `job`, and then whatever may run because of it.
  RequestJob and_next_request(RequestJob job);
  // Whether this node has it: while a move ends another one may have it already.
  bool is_here(const RequestState& request) const { return request.place().home == link(); }

  const ExecutorTable& table_;
  Lanes& lanes_;
  const Observing& observing_;
  const Clock& clock_;
  const Rules rules_;
  const std::shared_ptr<RequestDirectory> directory_ = RequestDirectory::of_process();
  std::atomic<bool> draining_{false};  // set under the lock
  PatientMonitor<State> state_;
};

}  // namespace choir
