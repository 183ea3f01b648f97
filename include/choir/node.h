// A node: several models at once in this process, on one budget of cores.
//
//   auto node = choir::Node::create({}).value();
//   node->add({.name = "a", .path = "a.gguf"}).value();
//   auto answer = node->submit({.executor = "a", .text = "Once"}).value();
//   std::cout << answer.result.get().text;
//
// Threads: every call from any thread. Callbacks run on the node's dispatchers, never on a compute
// thread, one at a time per request; they may call submit() and cancel(), and a blocking call from
// inside one is refused with kInvalidArgument. What a callback captured is destroyed on a
// dispatcher before the request's future is ready; it may be the last that holds the node, which
// then ends on another thread.
//
// The process may exit while requests run: they end as cancelled, and are told, before objects are
// destroyed that were there before the last executor was added. What takes longer than a second,
// such as a load, is left alone. After exit() inside a callback no other callback is called.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "choir/config.h"
#include "choir/export.h"
#include "choir/ids.h"
#include "choir/model_info.h"
#include "choir/request.h"
#include "choir/result.h"
#include "choir/units.h"

namespace choir {

// Bytes as measured by the engine for what is loaded.
struct MemoryUse {
  std::uint64_t weights = 0;  // shared by all executors of the same file
  std::uint64_t kv = 0;
  std::uint64_t compute = 0;
};

// A look at one executor; the numbers are from slightly different instants.
struct ExecutorInfo {
  ExecutorConfig config;
  ModelInfo model;
  MemoryUse memory;
  std::int32_t running = 0;  // sequences that hold cells
  std::int32_t waiting = 0;  // accepted, not yet begun or parked
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;  // computed
  std::uint64_t output_tokens = 0;  // sampled
  std::uint64_t requests_done = 0;
  std::uint64_t requests_failed = 0;  // of those: ended with an error
  std::uint64_t preemptions = 0;      // sequences that lost their cells
  std::uint64_t reused_tokens = 0;    // of prompts, not computed again
  std::int32_t kept = 0;              // conversations whose KV state it holds
  std::int32_t cells = 0;             // KV cells in use
  std::int32_t cached_cells = 0;      // of requests that have ended; free for whoever needs them
  std::int32_t threads = 0;           // that computed its last pass; 0: none yet
  bool loaded = true;                 // false: not in memory; loaded again by the next request
  bool suspended = false;
  std::int32_t active = 0;              // requests and embeddings that have not ended
  double idle_seconds = 0;              // since its last request ended, or it was loaded; 0: busy
  double load_seconds = 0;              // what the last load took
  double seconds_per_prompt_token = 0;  // measured; 0: not known yet
  double seconds_per_output_token = 0;
  double compute_seconds = 0;  // lane time x threads
};

struct NodeInfo {
  std::int32_t cores = 0;
  std::vector<std::int32_t> lanes;  // threads of each lane now
  std::int32_t lanes_max = 0;       // of them at once: as told, as tuned, or one for each core
  std::uint64_t lane_switches = 0;  // changes of that layout
  std::uint64_t memory_bytes_max = 0;
  std::uint64_t memory_bytes_promised = 0;
  std::int32_t requests_active = 0;
  bool door_closed = false;  // close_door() or shutdown() was called: it takes no new work
};

// A submitted request. The future is ready after the last callback has returned.
struct Submission {
  RequestId id;
  std::future<Completion> result;
};

using OnEvent = std::function<void(const StreamEvent&)>;
using OnDone = std::function<void(const Completion&)>;

struct Callbacks {
  OnEvent on_event;  // text as it comes; may be empty
  OnDone on_done;    // once, after the last event and before the future is ready; may be empty
  OnDone on_settled = {};  // right after on_done, when the node no longer counts the request
};

class Runtime;  // the inside; src/runtime/runtime.h

class CHOIR_API Node {
 public:
  // Starts the threads. Fails for a bad config or where threads cannot be had.
  static Result<std::unique_ptr<Node>> create(const NodeConfig& config);
  // Cancels what runs and joins all threads; inside a callback another thread of the process does.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Checks the file, admits by bytes, loads. Weights are resident when it returns. Blocks for the
  // time of the load; other executors go on. kAlreadyExists, kNotFound, kOutOfMemory,
  // kEngineFailed.
  Status add(const ExecutorConfig& config);
  // Ends its requests (finished or cancelled), frees its memory. Blocks.
  Status remove(std::string_view executor, Drain drain);
  // Leaves memory and comes back: by load(), or by itself with its next request, which then waits
  // for it. When an executor does not fit, idle ones are unloaded for it. Conversations stay.
  // unload() is refused with kOverloaded while requests are active.
  Status load(std::string_view executor);
  Status unload(std::string_view executor);
  // Running sequences stand still, new ones wait; after resume() they go on, token for token.
  // Deadlines go on counting. Takes effect between two passes.
  Status suspend(std::string_view executor);
  Status resume(std::string_view executor);
  // Changes shares, priority, batching, park_bytes_max, pinned and prefix_cache of the executor
  // `config.name` while it runs; any other field that differs is refused by name.
  Status update(const ExecutorConfig& config);
  // Other sequences_max and sequence_tokens_max, while requests run: a second KV memory of
  // sequences_max x sequence_tokens_max cells is made on the same weights (both must fit for a
  // moment) and everything moves over. A length above the model's trained one counts as that one.
  Status resize(std::string_view executor, std::int32_t sequences_max,
                std::int32_t sequence_tokens_max);
  // Moves the executor with everything that runs in it to another node of this process. On failure
  // it stays here.
  Status migrate(std::string_view executor, Node& target);
  Status set_policy(ExecutionPolicy policy);
  ExecutionPolicy policy() const;

  // Refused at once: a bad request, a prompt longer than the context (kTooLong), a full queue, a
  // closed door (kDraining), a node that is shutting down. Tokenizes on the calling thread;
  // everything else happens on the node's threads. An executor that is not in memory is loaded
  // first; inside a callback that is refused.
  Result<Submission> submit(const Request& request, Callbacks callbacks = {});
  // submit() and wait.
  Result<Completion> run(const Request& request);
  // The request ends as kCancelled within one step, also in the middle of a long prompt. Any node
  // of the process reaches it, also when it has moved. kNotFound when it is not active (any more).
  Status cancel(RequestId id);
  // Closes the node for new work. submit(), run(), embed() and add(), and so migrate() into this
  // node, are refused at once with kDraining, also inside callbacks; a cold executor is not loaded
  // for a request that would be refused. What was accepted goes on, whether it runs or waits;
  // cancel(), resume(), load() and migrate() away from here work as before. The door never opens
  // again: a drain ends with shutdown(), and who wants to go on makes another node. Any thread,
  // also inside a callback; does not block; calling it again changes nothing.
  void close_door();
  // Blocks until no request and no embedding is active. Refused inside a callback.
  Status wait_idle();
  // The same, for at most `most` of the node's clock: 0 or less only looks, more than kDeadlineMax
  // counts as that. kDeadlineExceeded when the time is over, with the facts active_requests,
  // active_embeddings and suspended_requests: those of the active requests whose executor is
  // suspended. They stand still and stay active until it is resumed or they are cancelled, by
  // somebody else: this neither resumes nor cancels anything, and does not close the door.
  Status wait_idle(std::chrono::milliseconds most);

  Result<std::vector<TokenId>> tokenize(std::string_view executor, std::string_view text) const;
  Result<std::string> detokenize(std::string_view executor,
                                 const std::vector<TokenId>& tokens) const;
  // Pooled embedding through an encoder model. Blocks.
  Result<std::vector<float>> embed(std::string_view executor, std::string_view text);

  std::vector<ExecutorInfo> executors() const;
  Result<ExecutorInfo> executor(std::string_view name) const;
  NodeInfo info() const;

  // No new requests; what runs is finished or cancelled. Waits, except inside a callback, where it
  // only begins. May be called again.
  void shutdown(Drain drain);

  // The inside, for layers of this library above it.
  const std::shared_ptr<Runtime>& runtime() const { return runtime_; }

 private:
  explicit Node(std::shared_ptr<Runtime> runtime);
  std::shared_ptr<Runtime> runtime_;
};

}  // namespace choir
