// The inside of a ParallelLLMExecutionManager: its executors, how requests reach them, and what it
// counts of them.
//
// Threads: every call from any thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "choir/config.h"
#include "facade/executor_handle.h"
#include "facade/last_error.h"
#include "policy/route.h"

namespace choir::parallel {

// Functions: one for each call of ParallelLLMExecutionManager, which the API gives, and the steps
// of those that take several.
class ManagerInside : public std::enable_shared_from_this<ManagerInside> {
 public:
  using Requests = std::vector<LLMExecutionRequest>;
  using Responses = std::vector<LLMExecutionResponse>;
  using Llm = std::shared_ptr<AdvancedLLMExecutor>;

  Status initialize();
  void shutdown();
  bool initialized() const;
  bool report(const char* call, const Status& status) const;
  std::string last_error() const { return last_error_.text(); }

  Result<Llm> create(const LLMExecutionConfig& config);
  Status destroy(const std::string& id);
  Llm find(const std::string& id) const;
  std::vector<Llm> all() const;

  // `done` once, on a callback thread, or here where the request is refused.
  void start(const LLMExecutionRequest& request, ExecutorHandle::Way way,
             ExecutorHandle::Done done);
  // start() of one request, counted as such; and waiting for it.
  void single(const LLMExecutionRequest& request, ExecutorHandle::Done done);
  LLMExecutionResponse run(const LLMExecutionRequest& request);
  Status cancel(const std::string& request_id) const;
  Status cancel_all() const;
  std::vector<std::string> active(const std::string& id) const;

  Responses parallel(const Requests& requests);
  Responses pipelined(const Requests& requests);
  Responses batch(const Requests& requests);
  Responses hybrid(const Requests& requests);

  Status optimize();
  Status balance();
  Status cleanup();
  Status validate();

  Metrics system_metrics() const;
  std::map<std::string, std::size_t> counts() const;
  Metrics execution_metrics() const;
  void set_profiling(bool on);
  Metrics profiling_data() const;

  Status set_llms_max(int most);
  int llms_max() const { return llms_max_.load(); }
  Status set_policy(const std::string& name);
  std::string policy() const;
  Status set_balance(const std::string& name);
  std::string balance_name() const { return std::string(to_string(balance_.load())); }
  Status set_idle_unload(double seconds);
  double idle_unload() const { return idle_unload_.load(); }

  std::shared_ptr<World> world() const {
    return table_.with([](const Table& t) { return t.world; });
  }

 private:
  // Which of the four ways a request went, for the metrics.
  enum class WayName : std::uint8_t { kSingle, kParallel, kPipelined, kBatch };
  struct Plan {
    WayName way = WayName::kParallel;
    bool chained = false;  // after the one before it
  };
  struct Table {
    std::shared_ptr<World> world;  // null: not initialized
    std::map<std::string, Llm> llms;
    std::map<std::string, const ExecutorHandle*> coming;  // ids that are taken while they load
    std::map<std::string, std::uint64_t> turns;           // of round robin, by group
  };
  struct Counts {
    std::map<WayName, std::uint64_t> requests;
    std::uint64_t completed = 0;
    std::uint64_t failed = 0;
    std::uint64_t batches = 0;
    std::uint64_t chained = 0;
    double latency_seconds = 0;
    double output_tokens = 0;
    double moved = 0;     // by balanceLoad()
    double unloaded = 0;  // by cleanupIdleLLMs()
    double problems = 0;  // found by the last validateSystem()
    double optimized = 0;
  };
  class Collector;

  Status adopt(const std::shared_ptr<ExecutorHandle>& handle);
  Result<std::shared_ptr<ExecutorHandle>> resolve(const LLMExecutionRequest& request);
  Result<std::shared_ptr<ExecutorHandle>> choose(
      const std::vector<std::shared_ptr<ExecutorHandle>>& candidates,
      const LLMExecutionRequest& request);
  Responses carry_out(const Requests& requests, const std::vector<Plan>& plan, const char* call);
  void run_chain(const std::shared_ptr<Collector>& collector, std::size_t index,
                 std::optional<std::string> previous);
  void fail_chain(const std::shared_ptr<Collector>& collector, std::size_t index,
                  const std::string& why);
  std::map<std::string, std::vector<std::shared_ptr<ExecutorHandle>>> groups() const;
  void count(WayName way, const LLMExecutionResponse& response);

  const std::shared_ptr<RequestNames> names_ = std::make_shared<RequestNames>();
  Guarded<Table> table_;
  mutable LastError last_error_;
  Guarded<Counts> counts_;
  std::atomic<int> llms_max_{16};
  std::atomic<Balance> balance_{Balance::kLeastLoaded};
  std::atomic<ExecutionPolicy> policy_{ExecutionPolicy::kBalanced};
  std::atomic<bool> policy_set_{false};  // by this manager; else the node's is left as it is
  std::atomic<double> idle_unload_{300};
  std::atomic<bool> profiling_{false};
};

}  // namespace choir::parallel
