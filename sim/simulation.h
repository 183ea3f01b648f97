// The inside of a simulation: the nodes, the requests to them, and what must be so.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "sim/driven_node.h"
#include "sim/simulator.h"
#include "sim/workload.h"

namespace choir::sim {

// Of a conversation of an executor.
ConversationKey key_of(const std::string& executor, ConversationKey talk);

// Whose KV cells its request may use.
const std::string& scope_of(const Request& request);

// Functions: one for each kind of change and one for each check, all of the same simulated world.
class Simulation {
 public:
  explicit Simulation(const SimOptions& options);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;
  SimReport run();

 private:
  // One that was asked and not refused.
  struct Asked {
    const Ask* ask = nullptr;
    RequestId id;
    std::future<Completion> future;
    ConversationKey talk;  // {0}: of none
    int told = 0;          // its end, by on_done
    int settled = 0;       // and by on_settled
    bool refused = false;  // by us
    bool cancelled = false;
    std::optional<Completion> completion;
  };

  bool one_in(int n) { return rng_() % static_cast<unsigned>(n) == 0; }
  void broken(const std::string& what);

  // Time goes on to the next thing that happens by itself, and not beyond `until`. False: there is
  // none.
  bool step(std::optional<Instant> until = std::nullopt);
  // In a call that waits for others.
  void others_go_on();
  std::optional<Instant> next_event() const;
  bool deliver_all();
  void give_turns();

  // Requests (simulation.cc).
  void ask_those_due();
  void ask(const Ask& ask);
  Result<Submission> send(const Ask& ask, Asked& asked, Runtime& node);
  bool would_wait(const Ask& ask);
  void ended(const Ask& ask, const Completion& completion);
  void cancel_those_due();
  // KV cells went from one sequence to another.
  void shared(SeqId from, SeqId to);
  // A copy of a live sequence, finished elsewhere.
  void resume_elsewhere(Executor& executor);

  // Requests that wait for a load (simulation_loads.cc).
  Result<Submission> enqueue(const Ask& ask, Callbacks callbacks, Continuation continuation,
                             Runtime& node);
  Opener opener(const Ask& ask);
  void open_those_due();
  // What nodes' background threads do, where nobody else may hold their loads; and in any case.
  bool serve();
  bool serve_all();
  Status while_loading(const std::string& executor, const LoadProgress& progress);

  // Changes (simulation_changes.cc).
  void change(const Change& change);
  void migrate(const Change& change, std::size_t from);
  void unload(const Change& change, Runtime& node);
  void remove(const Change& change, Runtime& node);
  void add(const Change& change);
  void resize(const Change& change, Runtime& node);
  void spread(Runtime& node);
  void hold(const Change& change, Runtime& node);
  void forget(const Change& change, Runtime& node);
  void check_forgotten(const Executor& executor);
  void end_node(const Change& change);
  std::size_t nodes_alive() const;
  std::int32_t active(const std::string& executor);
  void join_keeper(Runtime& node);

  // What must be so at the end (simulation_end.cc).
  void check_end();
  void check_executors();
  void check_request(const Asked& asked);
  void check_reuse(const Asked& asked);
  void check_tenants(const Ask& ask, const Completion& completion);

  const SimOptions options_;
  std::mt19937 rng_;
  SimReport report_;
  Workload work_;
  Stage stage_;
  std::vector<std::unique_ptr<DrivenNode>> nodes_;           // null: ended
  std::map<std::string, std::optional<std::size_t>> where_;  // the node of each executor
  std::set<std::string> cut_;                                // whose requests a change cancelled
  bool changing_ = false;
  int calls_that_load_ = 0;
  int serving_ = 0;
  std::set<std::string> loading_;      // executors
  std::set<std::string> load_failed_;  // of executors, at some time
  std::string leaving_;                // the executor that is changed
  std::size_t next_ask_ = 0;
  std::size_t next_change_ = 0;
  std::vector<const Ask*> due_;
  std::map<std::size_t, Asked> asked_;  // by Ask::index
  std::map<RequestId, std::size_t> indices_;
  std::multimap<Instant, std::size_t> cancels_;
  std::multimap<Instant, std::size_t> openings_;
  std::set<ConversationKey> talking_;
  std::map<ConversationKey, KvState> aside_;          // of executors that left memory
  std::map<ConversationKey, std::string> forgotten_;  // by executor, until they go on
  std::map<std::string, double> tenant_tokens_;       // by weights
  int idle_waits_ = 0;
  Instant away_until_;  // the reader
  std::function<void()> wait_;
};

}  // namespace choir::sim
