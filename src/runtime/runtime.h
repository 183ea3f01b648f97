// The inside of a node: admission, the executor table, active requests, and the threads.
//
// Owner of everything; dies in the order lanes, alarms, dispatcher, executors. Any thread may call
// anything here.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "choir/machine.h"
#include "choir/node.h"
#include "engine/engine.h"
#include "runtime/alarms.h"
#include "runtime/dispatcher.h"
#include "runtime/executor.h"
#include "runtime/lanes.h"

namespace choir {

class Runtime {
 public:
  // The backend is llama.cpp in a product and a fake in tests.
  static Result<std::shared_ptr<Runtime>> create(const NodeConfig& config, const Machine& machine,
                                                 std::unique_ptr<Backend> backend);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // As in choir/node.h.
  Status add(const ExecutorConfig& config);
  Status remove(std::string_view name, Drain drain);
  Result<Submission> submit(Request request, Callbacks callbacks);
  Result<Completion> run(Request request);
  Status cancel(RequestId id);
  Status wait_idle();
  Result<std::shared_ptr<Executor>> find(std::string_view name) const;
  Result<std::vector<float>> embed(std::string_view name, std::string_view text);
  std::vector<ExecutorInfo> executors() const;
  NodeInfo info() const;
  void shutdown(Drain drain);

 private:
  // Every request that has not ended, and how many of them each executor has.
  struct Active {
    std::unordered_map<RequestId, std::shared_ptr<RequestState>> requests;
    std::map<ExecutorId, std::int32_t> by_executor;
    std::vector<ExecutorId> closed;  // removed, or about to be: no new requests
    bool closing = false;            // the node takes no more
  };
  struct Table {
    std::map<std::string, std::shared_ptr<Executor>, std::less<>> by_name;
    std::map<ExecutorId, std::shared_ptr<Executor>> by_id;
  };

  Runtime(const NodeConfig& config, const Machine& machine, std::unique_ptr<Backend> backend);
  Result<std::shared_ptr<Executor>> make_executor(const ExecutorConfig& config);
  Result<std::vector<TokenId>> prompt_tokens(const Executor& executor,
                                             const Request& request) const;
  Status enlist(const Executor& executor, const std::shared_ptr<RequestState>& state);
  void strike(const RequestState& state);
  void cancel_all(std::optional<ExecutorId> only);
  std::shared_ptr<Executor> by_id(ExecutorId id) const;
  ExecutorInfo describe(const Executor& executor) const;
  MemoryView memory_view() const;

  const NodeConfig config_;
  const std::uint64_t epoch_;  // upper half of every request id
  SteadyClock clock_;
  std::unique_ptr<Backend> backend_;
  const std::uint64_t memory_bytes_max_;
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<std::uint64_t> next_executor_{1};
  std::atomic<std::uint64_t> promised_{0};
  const std::shared_ptr<UrgentPace> urgent_ = std::make_shared<UrgentPace>();
  Guarded<int> loading_{0};  // one load at a time; its value says nothing
  Guarded<Table> table_;
  Monitor<Active> active_;
  Dispatcher dispatcher_;
  Alarms alarms_;
  Lanes lanes_;  // last: its threads use all of the above
};

}  // namespace choir
