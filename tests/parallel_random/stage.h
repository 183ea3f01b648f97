// What the threads of one random run share, and what they remember for the end.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "facade/world.h"
#include "parallel/parallel_llm_execution.h"
#include "tests/parallel_random/watchdog.h"
#include "tests/temp_folder.h"

namespace choir::parallel {

using Executor = std::shared_ptr<AdvancedLLMExecutor>;
using Manager = std::shared_ptr<ParallelLLMExecutionManager>;

// The engine of a run, and how much of it is worth asking for.
struct Engines {
  World::Parts parts;
  std::vector<std::string> models;  // of decoders
  std::string encoder;              // empty: there is none
  std::size_t output_tokens_max = 100;
  std::size_t length_max = 256;
  int calls = 40;                                                       // of each thread
  std::shared_ptr<Guarded<std::vector<std::weak_ptr<Runtime>>>> nodes;  // that were made
};
Engines fake_engines(std::uint64_t seed);
Engines real_engines(const std::string& model);

// One thread's dice.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::size_t below(std::size_t n) { return random_() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list.at(below(list.size()));
  }

 private:
  std::mt19937_64 random_;
};

class Stage {
 public:
  Stage(std::uint64_t seed, Engines its_engines, Watchdog& its_watchdog);

  const std::uint64_t seed;
  const Engines engines;
  Watchdog& watchdog;
  const TempFolder folder;
  // Of a run in which executors are suspended every request that is waited for has a timeout, and
  // nobody waits for an embedding: nothing promises that somebody resumes.
  const bool suspends;

  Manager manager() const {
    return manager_.with([](const Manager& m) { return m; });
  }
  // Another one takes its place; executors of the old one live on in `executors`.
  void renew_manager();
  void keep(Executor executor);
  // One that a callback of its own is to drop; at the end, if none came.
  using Slot = std::shared_ptr<Guarded<Executor>>;
  Slot slot(Executor executor);
  void empty_slots();
  void keep(const std::shared_ptr<LLMExecutor>& executor) {
    keep(std::dynamic_pointer_cast<AdvancedLLMExecutor>(executor));
  }
  std::vector<Executor> executors() const {
    return executors_.with([](const auto& e) { return e; });
  }

  // A request that is on its way. `scope`: where ids are unique; null: nobody counts.
  void sent(const void* scope, const LLMExecutionRequest& request,
            std::future<LLMExecutionResponse> future);
  void check(const void* scope, const LLMExecutionRequest& request,
             const LLMExecutionResponse& response);
  // Requests that a manager, or an executor of no manager, was given.
  void count(const void* scope, std::size_t requests);
  std::size_t counted(const void* scope) const;
  // Every future that was sent so far, waited for.
  void collect();

  // A failure with the seed in it.
  void fail(const std::string& what) const;

  std::atomic<std::uint64_t> born{0};  // numbers for contexts and texts

 private:
  struct Sent {
    const void* scope;
    LLMExecutionRequest request;
    std::future<LLMExecutionResponse> future;
  };
  Guarded<Manager> manager_;
  Guarded<std::vector<Manager>> old_managers_;  // so that no address is used twice
  Guarded<std::vector<Executor>> executors_;
  Guarded<std::vector<Slot>> slots_;
  Guarded<std::vector<Sent>> sent_;
  Guarded<std::map<const void*, std::set<std::string>>> ids_;
  Guarded<std::map<const void*, std::size_t>> counts_;

 public:
  std::vector<Manager> managers() const;
};

}  // namespace choir::parallel
