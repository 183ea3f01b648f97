// The configuration of a node and of its executors. Plain values, for any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "choir/export.h"
#include "choir/result.h"
#include "choir/units.h"

namespace choir {

class Observer;

// When requests that wait in an executor may begin.
enum class Batching : std::uint8_t {
  kContinuous,   // as soon as there is room
  kOneAtATime,   // when no request of the executor runs
  kCollect,      // when sequences_max of them wait or the oldest has waited 10 ms, then together
  kCollectBusy,  // kCollect while more than half of sequences_max wait, else kContinuous
};

// How the node shares its cores; may change while it runs.
enum class ExecutionPolicy : std::uint8_t {
  kBalanced,    // fair shares inside strict classes, prompts in chunks of a quantum
  kOptimized,   // throughput: four times the quantum, and a batch waits 5 ms for more requests
  kLatency,     // half the quantum, so decodes wait less for prompts
  kFair,        // equal rights whatever the class
  kSequential,  // at most one request runs in the whole node, best class first
};
inline constexpr std::array<std::string_view, 5> kExecutionPolicyNames = {
    "balanced", "optimized", "latency", "fair", "sequential"};
constexpr std::string_view to_string(ExecutionPolicy policy) {
  return kExecutionPolicyNames.at(static_cast<std::size_t>(policy));
}

struct ExecutorConfig {
  std::string name;                             // what requests name; unique in the node
  std::string path;                             // GGUF file
  std::int32_t context_tokens = 4096;           // KV cells, shared by all its sequences
  std::int32_t sequences_max = 8;               // generations at once, 1 .. 256
  std::int32_t sequence_tokens_max = 0;         // prompt and output of one; 0: context_tokens
  std::int32_t batch_tokens_max = 512;          // tokens of one forward pass
  double shares = 1.0;                          // of compute, relative to the others of its class
  Priority priority = Priority::kNormal;        // of requests that name none
  std::uint64_t park_bytes_max = 256ULL << 20;  // KV kept aside for sequences that lost their cells
  Batching batching = Batching::kContinuous;
  bool pinned = false;  // never unloaded to make room for others
  // Requests of one reuse scope that begin with the same tokens compute them once. Results change
  // only where the engine computes more than our kernels do (ModelInfo::not_covered), and there in
  // low bits.
  bool prefix_cache = true;
  KvType kv_type = KvType::kF16;
  bool operator==(const ExecutorConfig&) const = default;
};

enum class CheckFiles : std::uint8_t {
  kUnseen,  // a file not seen before is tried in a child process first
  kNever,   // every file is trusted; a damaged file may end this process
};

struct NodeConfig {
  std::int32_t cores = 0;      // 0: all that affinity and cgroup allow; never more
  std::int32_t lanes_max = 0;  // busy executors at once, on cores / lanes_max cores each;
                               // 0: as `choir tune` found (choir/tuning.h), else cores
  // true: a pass uses fewer threads than its lane has cores where that is measured to be faster, as
  // for small models and beside other programs. Results do not depend on it. false: always all.
  bool adapt_threads = true;
  std::uint64_t memory_bytes_max = 0;  // for executors; 0: 90 % of what machine and cgroup allow
  // Requests waiting or running in an executor. A tenant may fill the queue when it is alone;
  // beside other tenants it may have its weight's part, at least 8 and at most half.
  std::int32_t queue_max = 1024;
  std::int32_t dispatchers = 2;                  // threads that run user callbacks
  std::chrono::milliseconds quantum{50};         // longest turn while others wait
  std::chrono::milliseconds age_step{500};       // waiting this long lifts work by one class
  std::chrono::milliseconds stalled{30'000};     // a reader this far behind is cancelled
  std::uint64_t stream_bytes_max = 60ULL << 10;  // text a reader may leave unread
  CheckFiles check_files = CheckFiles::kUnseen;
  ExecutionPolicy policy = ExecutionPolicy::kBalanced;
  std::shared_ptr<Observer> observer = {};  // told what happens (choir/observer.h); null: none
  bool operator==(const NodeConfig&) const = default;
};

// The KV type of that name; kInvalidArgument, with the known names, if there is none. Pure: any
// thread, does not block.
CHOIR_API Result<KvType> kv_type_named(std::string_view name);

// Reports the first error in a sentence for the user. If a whole number is out of range, the error
// has the facts `value` and `limit`. Pure: any thread, does not block, does not look at the disk.
CHOIR_API Status validate(const ExecutorConfig& config);
CHOIR_API Status validate(const NodeConfig& config);

}  // namespace choir
