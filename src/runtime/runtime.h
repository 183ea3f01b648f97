// The inside of a node: admission, the executor table, active requests, and the threads.
//
// Owner of everything; dies in the order lanes, alarms, dispatcher, executors, on a thread that may
// join them, whoever lets go of it last. Any thread may call anything here.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/patience.h"
#include "base/process_exit.h"
#include "choir/machine.h"
#include "choir/node.h"
#include "core/kv_state.h"
#include "engine/engine.h"
#include "policy/admit.h"
#include "policy/route.h"
#include "runtime/alarms.h"
#include "runtime/dispatcher.h"
#include "runtime/executor.h"
#include "runtime/lanes.h"
#include "runtime/node_rules.h"
#include "runtime/observing.h"
#include "runtime/request_directory.h"

namespace choir {

// Where the length of a conversation does not matter: a turn of one that has gone on for a while.
inline constexpr std::int32_t kConversationTokens = 512;

// How a request goes on with a conversation (context/conversations.h).
struct Continuation {
  ConversationKey key;
  KvState kv;            // taken where the executor holds nothing of this conversation
  bool awaited = false;  // tokens come with provide(): an earlier turn still runs
  bool gated = false;    // waits for open_gate()
  BeforeEnd before_end = {};
};

class Runtime final : public RequestHome, public std::enable_shared_from_this<Runtime> {
 public:
  // The backend is llama.cpp in a product and a fake in tests.
  static Result<std::shared_ptr<Runtime>> create(const NodeConfig& config, const Machine& machine,
                                                 std::unique_ptr<Backend> backend);
  // One that has no threads, for the simulator: its maker drives the parts. The clock outlives it,
  // and the config is not checked.
  static std::shared_ptr<Runtime> create_by_hand(const NodeConfig& config, const Machine& machine,
                                                 std::unique_ptr<Backend> backend,
                                                 const Clock& clock);
  struct Parts {
    Lanes& lanes;
    Alarms& alarms;
    Dispatcher& dispatcher;
  };
  Parts parts() { return {lanes_, alarms_, dispatcher_}; }
  ~Runtime() override;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // As in choir/node.h.
  // `counted`: what was counted of it elsewhere, and goes on.
  struct Counted {
    std::shared_ptr<ExecutorStats> stats = std::make_shared<ExecutorStats>();
    double compute_seconds = 0;
  };
  Status add(const ExecutorConfig& config, const Counted& counted);
  Status add(const ExecutorConfig& config) { return add(config, Counted{}); }
  Status remove(std::string_view name, Drain drain);
  Status load(std::string_view name);
  Status unload(std::string_view name);
  Status suspend(std::string_view name);
  Status resume(std::string_view name);
  Status update(const ExecutorConfig& config);
  // batch_tokens_max 0: as it is.
  Status resize(std::string_view name, std::int32_t sequences_max, std::int32_t sequence_tokens_max,
                std::int32_t batch_tokens_max = 0);
  // `moved` is called when everything is in the target and the name is still known here: whoever
  // keeps where the executor is learns it before a call by name fails here.
  Status migrate(std::string_view name, Runtime& target, const std::function<void()>& moved = {});
  Status set_policy(ExecutionPolicy policy);
  ExecutionPolicy policy() const { return policy_.load(); }
  Result<Submission> submit(const Request& request, Callbacks callbacks,
                            Continuation continuation = {});
  Result<Completion> run(const Request& request);
  Status cancel(RequestId id);
  void close_door();
  Status wait_idle();
  Status wait_idle(std::chrono::milliseconds most);
  // `most`: give up waiting after that; 0: never.
  Result<std::vector<float>> embed(std::string_view name, std::string_view text,
                                   std::chrono::milliseconds most = {});
  std::vector<RequestInfo> requests() const;
  Result<QueuePlace> place(RequestId id) const;
  std::vector<ExecutorInfo> executors() const;
  Result<ExecutorInfo> executor(std::string_view name) const;
  NodeInfo info() const;
  void shutdown(Drain drain);

  // The executor of that name; one that was unloaded is loaded first, except inside a callback,
  // where that is refused.
  Result<std::shared_ptr<Executor>> find(std::string_view name);
  // cancel(), provide() and open_gate() reach a request of any node of this process.
  //
  // The tokens of a request that was submitted as `awaited`. One that has ended is left alone.
  void provide(RequestId id, Result<std::vector<TokenId>> tokens, KvState kv);
  // Requests that were submitted as `gated` begin, those of one executor in the same pass if they
  // fit.
  void open_gate(const std::vector<RequestId>& ids);
  bool in_memory(std::string_view name) const { return loaded(name) != nullptr; }
  // Whether the executor has KV state of this conversation now.
  bool holds(std::string_view name, ConversationKey key) const;
  // A copy of it; waits for the executor's next turn.
  Result<KvState> copy_kept(std::string_view name, ConversationKey key);
  void forget_kept(std::string_view name, ConversationKey key);
  // Forgets all others.
  void keep_only(std::string_view name, std::set<ConversationKey> keys);
  // Told of every conversation whose executor leaves memory, on the thread that unloads it.
  using Keeper = std::function<void(ConversationKey, KvState)>;
  void set_keeper(Keeper keeper);

  // What route() may know of an executor; nullopt: it takes no requests. `key`: the conversation
  // that the request is of.
  std::optional<ReplicaView> replica(std::string_view name, ConversationKey key) const;
  // Moves requests that have not begun between `names`, which run the same model file; returns how
  // many moved.
  Result<std::int32_t> spread_queues(const std::vector<std::string>& names);

 private:
  enum class Door : std::uint8_t {
    kOpen,
    kAway,  // being unloaded or moved: who comes now waits for the outcome
    kShut,  // being removed
  };
  // What is active in one executor.
  struct Activity {
    std::int32_t requests = 0;
    std::int32_t embeddings = 0;
    double estimated_seconds = 0;
    Instant last_used;
    Door door = Door::kOpen;
    bool suspended = false;
    std::vector<RequestJob> jobs;  // came while it is moving; they go with it
  };
  struct Active {
    std::unordered_map<RequestId, std::shared_ptr<RequestState>> requests;  // not ended
    std::map<ExecutorId, Activity> by_executor;
    std::int32_t embeddings = 0;
    bool closing = false;  // the node takes no more

    bool idle() const { return requests.empty() && embeddings == 0; }
  };
  // An executor that was added, in memory or not.
  struct Row {
    ExecutorId id;
    ExecutorConfig config;  // the truth; its executor has a copy
    ModelInfo model;
    std::shared_ptr<ExecutorStats> stats;
    std::shared_ptr<Executor> executor;  // null: unloaded
    double load_seconds = 0;
    double compute_seconds = 0;  // until it was last unloaded
  };
  struct Table {
    std::map<std::string, Row, std::less<>> by_name;
    std::map<ExecutorId, std::string> names;
  };

  // clock: null: the machine's.
  Runtime(const NodeConfig& config, const Machine& machine, std::unique_ptr<Backend> backend,
          const Clock* clock);
  // At the exit of the process: no new requests, those there are end as cancelled; and then the
  // threads end.
  void ask_to_stop();
  void stop_until(Instant end);
  void drained(const RequestState& request) override;
  void ended(const RequestState& request, const Completion& completion) override;
  void cancelled(const RequestState& request) override;
  bool post(const RequestState& request, const RequestJob& job) override;

  static EngineConfig engine_config_of(const ExecutorConfig& config);
  Result<Row> row(std::string_view name) const;
  // make_it(), and tells the observer.
  Result<std::shared_ptr<Executor>> make_executor(const Row& row);
  Result<std::shared_ptr<Executor>> make_it(const Row& row);
  void tell_ended(const RequestState& request, const Completion& completion) const;
  void tell_left(const std::string& executor, ExecutorLeft::Why why) const;
  // False: it is just moving to another node, and the name may mean nothing afterwards.
  Result<bool> load_row(const std::string& name);
  Result<std::shared_ptr<Executor>> find_or_load(std::string_view name);
  void wait_while_away(ExecutorId id);
  Status unload_row(const Row& row, ExecutorLeft::Why why);
  // Everything but the row: the executor's turns, alarm and bytes.
  void take_from_lanes(const std::shared_ptr<Executor>& executor);
  // KV state of conversations, to the keeper. Needs: taken from the lanes.
  void hand_over_kept(Executor& executor);
  // What is promised to it alone. Under the lock of loads, as all that changes promises.
  std::uint64_t own_bytes(const Executor& executor) const;
  void give_back_bytes(const Executor& executor);
  // True when somebody left.
  bool make_room(const std::string& name, const std::string& path, const ExecutorBytes& need);
  // From now on nobody comes in; false when requests are active and `busy_too` is not set.
  Status close_door(const Row& row, bool busy_too);
  void open_door(ExecutorId id, Door door);
  // Runs `job` between two passes of the executor; the future is not valid where the executor has
  // left memory.
  template <class Job>
  auto post_in_turn(Executor& executor, Job job)
      -> std::future<std::invoke_result_t<Job, Executor&>>;
  // The same, and waits for what it returns.
  template <class Job>
  auto in_turn(const std::shared_ptr<Executor>& executor, Job job)
      -> Result<std::invoke_result_t<Job, Executor&>>;

  Result<std::vector<TokenId>> prompt_tokens(const Executor& executor,
                                             const Request& request) const;
  Result<std::vector<TokenId>> embedding_tokens(const Executor& executor,
                                                std::string_view text) const;
  Sequence make_sequence(const Executor& executor, const Request& request) const;
  enum class Entry : std::uint8_t { kIn, kAgain };
  // kDraining once close_door() was called.
  Status door_is_open() const;
  // Whether one may come in now; nullopt: wait, it is just leaving or moving.
  std::optional<Result<Entry>> at_door(const Active& a, const Executor& executor) const;
  // kIn: the mail is the executor's.
  Result<Entry> enlist(Executor& executor, Executor::Mail& mail);
  void strike(const RequestState& state);
  // Under `sequential`: whose turn it is. Wakes its executor.
  void next_request(Active& a);
  // `job`, and then whatever may run because of it.
  RequestJob and_next_request(RequestJob job);
  // Requests, and embeddings that have not begun.
  void cancel_all(std::optional<ExecutorId> only);
  // Both locks at once, in the same order whoever is who.
  template <class Both>
  static void in_both(Runtime& one, Runtime& other, Both both);
  std::shared_ptr<Executor> by_id(ExecutorId id) const;
  std::shared_ptr<Executor> loaded(std::string_view name) const;
  ExecutorInfo describe(const Row& row) const;
  struct ExecutorSight;
  std::map<ExecutorId, ExecutorSight> executor_sights() const;
  std::vector<std::shared_ptr<RequestState>> active_requests() const;  // by id
  bool is_others_turn(const RequestState& state) const;
  MemoryView memory_view() const;

  const NodeConfig config_;
  const Observing observing_{config_.observer};
  const std::shared_ptr<RequestDirectory> directory_ = RequestDirectory::of_process();
  const SteadyClock steady_;
  const Clock& clock_;
  std::unique_ptr<Backend> backend_;
  const std::uint64_t memory_bytes_max_;
  std::atomic<std::uint64_t> next_executor_{1};
  std::atomic<std::uint64_t> promised_{0};
  std::atomic<bool> draining_{false};  // set under the lock of active_
  std::atomic<ExecutionPolicy> policy_{ExecutionPolicy::kBalanced};
  const std::shared_ptr<NodeRules> rules_ = std::make_shared<NodeRules>();
  Guarded<int> loading_{0};  // one load, unload or resize at a time; its value says nothing
  Guarded<Keeper> keeper_;
  Guarded<Table> table_;
  PatientMonitor<Active> active_;
  Dispatcher dispatcher_;
  Alarms alarms_;
  Lanes lanes_;                            // its threads use all of the above
  std::atomic<bool> exit_watched_{false};  // since the first request
  std::optional<ExitEntry> at_exit_;
};

// One on llama.cpp.
Result<std::shared_ptr<Runtime>> create_runtime(const NodeConfig& config);

}  // namespace choir
