// The inside of a node: it joins the parts and answers the calls of choir/node.h.
//
//   ExecutorTable    which executors there are
//   ActiveRequests   which requests are in, and whether more may come in
//   Residents        which executors are in memory, and the bytes that are promised
//   Leases           which tenants hold which executors, and until when
//   Arrivals         requests that wait for a load, and loads that are watched
//   Moves            executors that go to another node, or come from one
//   KeptKv           the KV state that executors hold for conversations
//   Lanes, Alarms, Dispatcher, Background   the threads
//
// Any thread may call. The last to let go of it may be any thread; it ends on one that may join.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/process_exit.h"
#include "choir/machine.h"
#include "choir/node.h"
#include "core/kv_state.h"
#include "engine/engine.h"
#include "policy/admit.h"
#include "policy/route.h"
#include "runtime/active_requests.h"
#include "runtime/alarms.h"
#include "runtime/arrivals.h"
#include "runtime/background.h"
#include "runtime/dispatcher.h"
#include "runtime/executor.h"
#include "runtime/executor_table.h"
#include "runtime/kept_kv.h"
#include "runtime/lanes.h"
#include "runtime/leases.h"
#include "runtime/moves.h"
#include "runtime/node_rules.h"
#include "runtime/node_seam.h"
#include "runtime/observing.h"
#include "runtime/request_directory.h"
#include "runtime/residents.h"

namespace choir {

// Where the length of a conversation does not matter: a turn of one that has gone on for a while.
inline constexpr std::int32_t kConversationTokens = 512;

// More than 30 functions: one for each call of choir/node.h, and those that join two parts.
class Runtime final : public NodeSeam, public std::enable_shared_from_this<Runtime> {
 public:
  // The backend is llama.cpp in a product and a fake in tests.
  static Result<std::shared_ptr<Runtime>> create(const NodeConfig& config, const Machine& machine,
                                                 std::unique_ptr<Backend> backend);
  // One that has no threads, for the simulator: its maker drives the parts. The clock outlives it,
  // and the config is not checked. Requests that are active when it is destroyed end with it,
  // untold.
  static std::shared_ptr<Runtime> create_by_hand(const NodeConfig& config, const Machine& machine,
                                                 std::unique_ptr<Backend> backend,
                                                 const Clock& clock);
  struct Parts {
    Lanes& lanes;
    Alarms& alarms;
    Dispatcher& dispatcher;
    Background& background;
  };
  Parts parts() { return {lanes_, alarms_, dispatcher_, background_}; }
  ~Runtime() override;

  // As in choir/node.h.
  Status add(const ExecutorConfig& config);
  Status remove(std::string_view name, Drain drain);
  Status load(std::string_view name) { return residents_.load(name); }
  Status unload(std::string_view name) { return residents_.unload(name); }
  Status suspend(std::string_view name);
  Status resume(std::string_view name);
  Status update(const ExecutorConfig& config);
  // batch_tokens_max 0: as it is.
  Status resize(std::string_view name, std::int32_t sequences_max, std::int32_t sequence_tokens_max,
                std::int32_t batch_tokens_max = 0) {
    return residents_.resize(name, sequences_max, sequence_tokens_max, batch_tokens_max);
  }
  // `moved` is called when everything is in the target and the name is still known here: the
  // record of where the executor is learns it before a call by name fails here. As move_executor().
  Status migrate(std::string_view name, NodeSeam& target, const std::function<void()>& moved = {});
  Status declare(const ExecutorConfig& config);
  Result<LoadEstimate> estimate(const ExecutorConfig& config) const {
    return residents_.estimate(config);
  }
  Status check_load(std::string_view name) const { return residents_.check_load(name); }
  Result<LoadTicket> begin_load(std::string_view name, LoadWatch watch = {}) {
    return arrivals_.begin_load(name, std::move(watch));
  }
  Status hold(std::string_view name, std::string_view tenant, std::chrono::milliseconds duration) {
    return leases_.hold(name, tenant, duration);
  }
  Status release(std::string_view name, std::string_view tenant) {
    return leases_.release(name, tenant);
  }
  Status set_policy(ExecutionPolicy policy);
  ExecutionPolicy policy() const { return policy_.load(); }
  Result<Submission> submit(const Request& request, Callbacks callbacks,
                            Continuation continuation = {}, Gated gated = Gated::kNo) override;
  // kLater: its prompt is made after enqueue(), by a LatePrompt or from the request.
  enum class Prompt : std::uint8_t { kNow, kLater };
  Result<Prepared> prepare(Request request, Prompt prompt = Prompt::kNow) const;
  // `late`: where its prompt is not made from the request alone.
  Result<Submission> enqueue(Prepared prepared, Callbacks callbacks, Continuation continuation = {},
                             LatePrompt late = {});
  Result<std::vector<Submission>> submit_all(std::span<const Request> requests,
                                             std::vector<Callbacks> callbacks);
  Result<std::vector<Submission>> enqueue_all(std::vector<Prepared> prepared,
                                              std::vector<Callbacks> callbacks);
  Result<Completion> run(const Request& request);
  Status cancel(RequestId id) override;
  void close_door() { active_.drain(); }
  Status wait_idle();
  Status wait_idle(std::chrono::milliseconds most);
  Result<EmbedSubmission> submit_embed(const EmbedRequest& request, EmbedCallbacks callbacks = {},
                                       Gated gated = Gated::kNo);
  Result<EmbedSubmission> enqueue_embed(EmbedRequest request, EmbedCallbacks callbacks);
  // `most`: its deadline; 0: none.
  Result<std::vector<float>> embed(std::string_view name, std::string_view text,
                                   std::chrono::milliseconds most = {});
  std::vector<RequestInfo> requests() const;
  Result<QueuePlace> place(RequestId id) const;
  Result<std::optional<CellSharing>> cell_sharing(std::string_view name);
  std::vector<ExecutorInfo> executors() const;
  Result<ExecutorInfo> executor(std::string_view name) const;
  NodeInfo info() const;
  std::uint64_t changes() const {
    return table_.changes() + rules_->shown.counted() + arrivals_.changes();
  }
  TurnsSince turns(std::span<const std::uint64_t> from) const { return lanes_.turns(from); }
  void shutdown(Drain drain);

  // The executor of that name; one that was unloaded is loaded first, except inside a callback,
  // where that is refused.
  Result<std::shared_ptr<Executor>> find(std::string_view name) { return residents_.find(name); }
  // Null where it is not in memory. Does not block.
  std::shared_ptr<Executor> loaded(std::string_view name) const { return table_.loaded(name); }
  bool in_memory(std::string_view name) const { return loaded(name) != nullptr; }
  KeptKv& kept() { return kept_; }
  // cancel(), open(), refuse() and open_gate() reach a request of any node of this process. None of
  // them blocks, and one that has ended is left alone.
  //
  // What makes the tokens of a request that was enqueued as `awaited`: called soon on a thread of
  // the node that has it, or when its executor has been loaded.
  void open(RequestId id, const Opener& open);
  // A request that its executor has not taken yet ends as failed, with this.
  void refuse(RequestId id, const Error& error);
  // Requests that were submitted as `gated` begin, those of one executor in the same pass if they
  // fit.
  void open_gate(const std::vector<RequestId>& ids);

  std::optional<ReplicaView> look(std::string_view name, ConversationKey key) const override;
  // Moves requests that have not begun between `names`, which run the same model file; returns how
  // many moved.
  Result<std::int32_t> spread_queues(const std::vector<std::string>& names);

  // As in runtime/node_seam.h.
  NodeId node() const override { return moves_.node(); }
  Result<ExecutorMove> begin_move(std::string_view name, NodeId to) override {
    return moves_.begin(name, to);
  }
  Result<std::shared_ptr<FrozenExecutor>> freeze(const MoveKey& key) override {
    return moves_.freeze(key);
  }
  Status thaw(const MoveKey& key) override { return moves_.thaw(key); }
  Status forget(const MoveKey& key) override { return moves_.forget(key); }
  Status expect(const ExecutorMove& move) override;
  Status adopt(FrozenExecutor& frozen) override { return moves_.adopt(frozen); }
  Result<Withdrawn> withdraw(const MoveKey& key) override { return moves_.withdraw(key); }

 private:
  // clock: null: the machine's.
  Runtime(const NodeConfig& config, const Machine& machine, std::unique_ptr<Backend> backend,
          const Clock* clock);
  // At the exit of the process: no new requests, those there are end as cancelled; and then the
  // threads end.
  void ask_to_stop();
  void stop_until(Instant end);
  struct Begun {
    std::shared_ptr<RequestState> state;
    Submission submission;
  };
  Result<Begun> begin_request(const Request& request, Callbacks callbacks);
  // Of one executor and one tenant.
  Result<std::vector<Begun>> begin_together(std::span<const Request* const> requests,
                                            std::vector<Callbacks> callbacks);
  static std::vector<Submission> submissions_of(std::span<Begun> begun);
  struct EmbeddingBegun {
    std::shared_ptr<RequestState> state;
    EmbedSubmission submission;
  };
  EmbeddingBegun begin_embedding(const EmbedRequest& request, EmbedCallbacks callbacks);
  // Requests that come together, as Node::enqueue_all(). Those that are not accepted stay in
  // `together`.
  Status enter(std::span<Arrival> together);
  // Where all of them are prepared for this very model; nullopt: it is just leaving or moving.
  Result<std::optional<ActiveRequests::Entry>> enlist_now(Executor& executor,
                                                          std::span<Arrival> together);
  // find(), for a request: until `claim` ends, the executor leaves only if it is asked to. Unset
  // where it was in memory.
  Result<std::shared_ptr<Executor>> find_for_request(std::string_view name,
                                                     ActiveRequests::Claim& claim);
  // That it is going to this executor, whose class it has where it asks for none.
  void place_in(RequestState& state, const Request& request, ExecutorId id,
                const ExecutorConfig& config, std::size_t tokens, const ExecutorStats& stats);
  // The same of a request to embed; its tokens are known, or there are none yet.
  void place_in(RequestState& state, const EmbedRequest& request, ExecutorId id, Priority priority,
                const ExecutorStats& stats);
  // Its executor has it: wakes a lane for it, and sets the alarm for its deadline.
  void announce(ExecutorId id, const RequestState& state);
  void ring(ExecutorId id);
  ExecutorInfo describe(const ExecutorRow& row) const;
  struct ExecutorSight;
  std::map<ExecutorId, ExecutorSight> executor_sights() const;
  bool is_others_turn(const RequestState& state) const;

  const NodeConfig config_;
  const Observing observing_{config_.observer};
  const std::shared_ptr<RequestDirectory> directory_ = RequestDirectory::of_process();
  const SteadyClock steady_;
  const Clock& clock_;
  const std::unique_ptr<Backend> backend_;
  std::atomic<ExecutionPolicy> policy_{ExecutionPolicy::kBalanced};
  const std::shared_ptr<NodeRules> rules_ = std::make_shared<NodeRules>();
  ExecutorTable table_;
  Dispatcher dispatcher_;
  Alarms alarms_;
  Lanes lanes_;
  ActiveRequests active_;
  KeptKv kept_;
  Leases leases_;
  Residents residents_;
  Background background_;
  Arrivals arrivals_;
  Moves moves_;
  std::atomic<bool> exit_watched_{false};  // since the first request
  std::optional<ExitEntry> at_exit_;
};

// One on llama.cpp.
Result<std::shared_ptr<Runtime>> create_runtime(const NodeConfig& config);

}  // namespace choir
