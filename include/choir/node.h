// A node: several models at once in this process, on one budget of cores.
//
//   auto node = choir::Node::create({}).value();
//   node->add({.name = "a", .path = "a.gguf"}).value();
//   auto answer = node->submit({.executor = "a", .text = "Once"}).value();
//   std::cout << answer.result.get().text;
//
// Threads: any thread may call any function. Callbacks run on the node's dispatchers, never on a
// compute thread, and one at a time for each request. A callback may call submit() and cancel(); a
// call that would wait for a request or a load is refused there with kInvalidArgument. What a
// callback captured is destroyed on a dispatcher before the request's future is ready. If it held
// the last reference to the node, the node ends on another thread.
//
// The process may exit while requests run. They end as cancelled and their callers are told, before
// static objects are destroyed that existed when the last executor was added. The exit waits at
// most one second; a load, for example, may take longer and is abandoned. After exit() inside a
// callback no other callback is called.
//
// No call throws. Where memory is short, a call with a Result or a Status returns kOutOfMemory; one
// without (requests(), executors(), turns(), info(), policy()) returns an empty or a default value
// and logs it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "choir/cells.h"
#include "choir/config.h"
#include "choir/embedding.h"
#include "choir/export.h"
#include "choir/ids.h"
#include "choir/load.h"
#include "choir/load_estimate.h"
#include "choir/model_info.h"
#include "choir/prepared.h"
#include "choir/request.h"
#include "choir/request_info.h"
#include "choir/result.h"
#include "choir/text_stream.h"
#include "choir/turns.h"
#include "choir/units.h"

namespace choir {

// A tenant wants an executor in memory: Node::hold().
struct LeaseInfo {
  std::string tenant;
  double seconds_left = 0;  // infinity: until it is released
  bool operator==(const LeaseInfo&) const = default;
};

// The state of one executor. The numbers are from slightly different moments.
struct ExecutorInfo {
  ExecutorConfig config;
  ModelInfo model;
  MemoryUse memory;
  std::int32_t running = 0;  // sequences that hold KV cells
  std::int32_t waiting = 0;  // sequences without cells: not begun yet, or parked
  std::uint64_t steps = 0;
  std::uint64_t prompt_tokens = 0;  // computed
  std::uint64_t output_tokens = 0;  // sampled
  std::uint64_t requests_done = 0;
  std::uint64_t requests_failed = 0;  // of those: ended with an error
  std::uint64_t preemptions = 0;      // how often a sequence lost its cells to another one
  std::uint64_t reused_tokens = 0;    // prompt tokens that were not computed again
  std::int32_t kept = 0;              // conversations whose KV state it holds
  std::int32_t cells = 0;             // KV cells in use
  std::int32_t cached_cells = 0;      // cells of ended requests; evicted when room is needed
  std::int32_t threads = 0;           // threads of its last pass; 0: no pass yet
  bool loaded = true;                 // false: not in memory; the next request loads it
  bool suspended = false;
  std::int32_t active = 0;              // requests and embeddings that have not ended
  bool full = false;                    // its queue would refuse one more, whoever asks
  double outstanding_seconds = 0;       // compute of the active ones, as estimated when they came
  double idle_seconds = 0;              // since the last request ended or the load; 0: busy
  double load_seconds = 0;              // duration of the last load
  double seconds_per_prompt_token = 0;  // measured; 0: not known yet
  double seconds_per_output_token = 0;
  double compute_seconds = 0;  // lane time x threads
  // What its shares gave it of that of all: the time of each turn, divided by the shares of the
  // executors of the best class that had work then. On this node.
  double due_seconds = 0;
  std::vector<LeaseInfo> leases = {};  // that have not ended, by tenant
  // A load of it runs, or waits for another one: the part of the weights that is read, 0 .. 1.
  std::optional<double> loading = {};
};

struct NodeInfo {
  std::int32_t cores = 0;
  std::vector<std::int32_t> lanes;  // threads of each lane now
  std::int32_t lanes_max = 0;       // most lanes at once: configured, tuned, or one for each core
  std::uint64_t lane_switches = 0;  // how often the layout of lanes has changed
  std::uint64_t memory_bytes_max = 0;
  std::uint64_t memory_bytes_promised = 0;
  std::int32_t requests_active = 0;  // embeddings too
  bool door_closed = false;          // close_door() or shutdown() was called: no new work is taken
};

// A submitted request. The future is ready after the last callback has returned.
struct Submission {
  RequestId id;
  std::future<Completion> result;
  TextStream stream;  // of a request with on_news; else it belongs to no request
};

// A submitted request to embed. As Submission.
struct EmbedSubmission {
  RequestId id;
  std::future<EmbedCompletion> result;
};

using OnEvent = std::function<void(const StreamEvent&)>;
using OnNews = std::function<void(RequestId)>;
using OnDone = std::function<void(const Completion&)>;

// Text reaches the caller in one of two forms; submit() refuses both together. on_event pushes the
// text. on_news announces that there is text, or the end, to take from Submission::stream. It runs
// on a dispatcher, must not block and may call take(). It is called at most once between two takes
// of one request, possibly before submit() has returned. A caller that polls the stream passes a
// function that does nothing.
struct Callbacks {
  OnEvent on_event;  // text as it comes; may be empty
  OnDone on_done;    // once, after the last event and before the future is ready; may be empty
  OnDone on_settled = {};  // right after on_done, when the node no longer counts the request
  OnNews on_news = {};     // there is something to take; may be empty
};

using OnEmbedded = std::function<void(const EmbedCompletion&)>;
struct EmbedCallbacks {
  OnEmbedded on_done;          // once, before the future is ready; may be empty
  OnEmbedded on_settled = {};  // right after on_done, when the node no longer counts the request
};

class Runtime;  // the inside; src/runtime/runtime.h

// Functions: one for each call of the API; the inside has the parts.
class CHOIR_API Node {
 public:
  // Starts the node's threads. Fails if the config is wrong or threads cannot be started. Does not
  // load a model.
  static Result<std::unique_ptr<Node>> create(const NodeConfig& config);
  // Cancels all requests and joins all threads. Inside a callback another thread of the process
  // joins them.
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Checks the file, checks that the executor fits into memory, and loads it. The weights are in
  // memory when it returns. Blocks for the load, while other executors go on; refused inside a
  // callback. Errors: kAlreadyExists, kNotFound, kOutOfMemory, kEngineFailed.
  Status add(const ExecutorConfig& config);
  // Ends the executor's requests (they finish, or are cancelled) and frees its memory. Blocks until
  // that is done; refused inside a callback.
  Status remove(std::string_view executor, Drain drain);
  // unload() removes the executor from memory; conversations stay. It is refused with kOverloaded
  // while requests are active. load() brings it back, and so does the next request, which then
  // waits for the load. If an executor does not fit, idle executors are unloaded for it. load()
  // blocks for the load, unload() for saving KV state.
  Status load(std::string_view executor);
  Status unload(std::string_view executor);
  // Adds an executor without loading it; the file is not even opened. The next request or load()
  // loads it, and says then what is wrong with it. Does not block for long: other loads may go
  // first. Errors: kAlreadyExists, kInvalidArgument.
  Status declare(const ExecutorConfig& config);
  // What loading an executor with this config would take, and who would leave for it; nothing is
  // loaded and nothing changes. Where an executor of that name is in memory, it is what resize()
  // would take: the new memory beside the old one. The answer holds as long as nothing else is
  // loaded or given work. It reads the head of the file, and tries a file that was not seen before
  // (seconds); it waits for no load. Errors: those of add() that come from the file,
  // kInvalidArgument.
  Result<LoadEstimate> estimate(const ExecutorConfig& config) const;
  // The error that a load of this executor would end with now, as far as that is known without
  // trying its file: the file is not there, has failed before, or does not fit. Reads the head of
  // the file; it waits for no load. Any thread.
  Status check_load(std::string_view executor) const;
  // Begins to load on a thread of the node and returns at once; a load that is under way is joined.
  // Any thread, also inside a callback.
  Result<LoadTicket> begin_load(std::string_view executor, LoadWatch watch = {});
  // A lease: `tenant` wants the executor in memory for this long from now on ("keep alive"). It
  // takes the place of the tenant's earlier lease. When the last lease of an executor has ended and
  // nothing works there, the executor leaves memory; its next request or load() brings it back. An
  // executor that no tenant has held since it was loaded stays, and so does a pinned one.
  //
  // A lease does not load the executor, and it does not keep others out: when a load needs room,
  // idle executors leave whether they are held or not, and their leases go on. Nobody leaves while
  // it has requests, is being loaded, or was loaded for a request that is just coming. The time of
  // a lease runs also while the tenant's requests do, so a server renews it in on_done of each.
  //
  // `duration`: 0 is release(); more than kDeadlineMax is for ever; below 0 is refused. Errors:
  // kNotFound, kInvalidArgument, kOverloaded (4,096 tenants hold it). Any thread, also inside a
  // callback; does not block.
  Status hold(std::string_view executor, std::string_view tenant,
              std::chrono::milliseconds duration);
  // Ends the tenant's lease, and never that of another tenant. If no other tenant holds the
  // executor, it leaves as soon as nothing works there, also if this tenant had no lease. It leaves
  // on a thread of the node. Any thread, also inside a callback; does not block.
  Status release(std::string_view executor, std::string_view tenant);
  // suspend(): running sequences stand still and new ones wait; deadlines go on. Blocks for the end
  // of the running pass. resume(): the sequences continue, token for token. Does not block.
  Status suspend(std::string_view executor);
  Status resume(std::string_view executor);
  // Changes shares, priority, batching, park_bytes_max, pinned and prefix_cache of the executor
  // `config.name` while it runs. If another field differs, the call is refused with the field's
  // name. Blocks for the end of the running pass.
  Status update(const ExecutorConfig& config);
  // Changes sequences_max and sequence_tokens_max while requests run. A second KV memory of
  // sequences_max x sequence_tokens_max cells is made on the same weights, and all KV state is
  // copied to it; both memories must fit at the same time. A length above the one that the model
  // was trained for is lowered to it. Blocks until everything has moved.
  Status resize(std::string_view executor, std::int32_t sequences_max,
                std::int32_t sequence_tokens_max);
  // Moves the executor with all its requests to another node of this process. On failure it stays
  // here. Blocks for a load; refused inside a callback.
  Status migrate(std::string_view executor, Node& target);
  Status set_policy(ExecutionPolicy policy);
  ExecutionPolicy policy() const;

  // Submits a request. It tokenizes the prompt on the calling thread and does not wait for the
  // answer. These are refused at once: a wrong request, a prompt longer than the context
  // (kTooLong), a full queue, a closed door (kDraining), a node that is shutting down. If the
  // executor is not in memory, the call blocks for its load; inside a callback that is refused.
  Result<Submission> submit(const Request& request, Callbacks callbacks = {});
  // submit() in two halves, for a thread that may not wait, such as that of an event loop.
  // prepare() checks the request, renders and tokenizes its prompt; it takes up to milliseconds for
  // a long one and never loads. Where the executor is not in memory, the tokens stay unknown.
  Result<Prepared> prepare(Request request) const;
  // Accepts it, and never waits for a load, a pass, a resize or another call. An executor that is
  // not in memory is loaded by a thread of the node; any number of requests wait for one load, and
  // none of them holds a thread. cancel() and the deadline end such a request at once. What only
  // the load can tell is told by the end of the request: a load that fails, a prompt that is too
  // long. After a failed load, requests for that executor fail at once with its error for 5 s, and
  // for 30 s after each further one; load() and begin_load() try again in any case. Refused at
  // once: a full queue, a closed door, an executor that is being removed.
  Result<Submission> enqueue(Prepared prepared, Callbacks callbacks = {});
  // Several requests together, such as the choices of one prompt (Request::stream): all of them are
  // accepted, or none is. They have the same executor and tenant. Each one counts: for the queue,
  // for the tenant's part of it and, once it runs, for the executor's sequences; what their prompts
  // have in common is computed once where the executor has a prefix cache. They are told, cancelled
  // and end one by one. `callbacks`: none, or one for each. Besides what submit() or enqueue()
  // refuses: no request at all, more of them than a queue takes (kInvalidArgument).
  //
  // submit_all() may block as submit() does, and tokenizes a prompt once where it is that of the
  // request before. enqueue_all() never waits; Prepared::choice() gives choices of one prompt.
  Result<std::vector<Submission>> submit_all(std::span<const Request> requests,
                                             std::vector<Callbacks> callbacks = {});
  Result<std::vector<Submission>> enqueue_all(std::vector<Prepared> prepared,
                                              std::vector<Callbacks> callbacks = {});
  // submit(), and waits for the end. Blocks; refused inside a callback.
  Result<Completion> run(const Request& request);
  // Ends the request as kCancelled within one step, also in the middle of a long prompt. Does not
  // wait for the end. Any node of the process may be asked, also if the request has moved to
  // another node. kNotFound if the request is not active.
  Status cancel(RequestId id);
  // Closes the node for new work, to drain it. From now on submit(), run(), submit_embed(),
  // enqueue_embed(), embed(), add() and migrate() into this node are refused at once with
  // kDraining, and no executor is loaded for a request that is refused. Accepted requests go on,
  // whether they run or wait. cancel(), resume(), load() and migrate() to another node work as
  // before. The door cannot be opened again: a drain ends with shutdown(), and a program that wants
  // to go on makes another node. Any thread, also inside a callback; does not block; a second call
  // changes nothing.
  void close_door();
  // Blocks until no request and no embedding is active. Refused inside a callback.
  Status wait_idle();
  // The same, but it waits for at most `most` of the node's clock. 0 or less: it does not wait.
  // More than kDeadlineMax counts as kDeadlineMax. When the time is over, it returns
  // kDeadlineExceeded with the facts active_requests, active_embeddings and suspended_requests. The
  // last one counts those of both in suspended executors; they stay active until another call
  // resumes the executor or cancels them. This call resumes and cancels nothing, and does not close
  // the door.
  Status wait_idle(std::chrono::milliseconds most);

  // On the calling thread: microseconds for an ordinary prompt. Control tokens in the text count as
  // such. An executor that is not in memory is loaded first, which blocks and is refused inside a
  // callback.
  Result<std::vector<TokenId>> tokenize(std::string_view executor, std::string_view text) const;
  Result<std::string> detokenize(std::string_view executor,
                                 const std::vector<TokenId>& tokens) const;

  // Submits texts to embed to an executor of an encoder. They are computed together, as many in one
  // pass as its batch and sequences_max take, also with those of other requests; class, cancel(),
  // deadline, suspend(), migrate() and the limit of the queue are as with submit(). It tokenizes on
  // the calling thread and does not wait for the vectors, but for the load of an executor that is
  // not in memory. Refused at once, besides what submit() refuses: a text that is longer than the
  // executor embeds (kTooLong, unless `truncate`), a text without tokens, a token that the
  // vocabulary does not have, an executor that generates text.
  Result<EmbedSubmission> submit_embed(const EmbedRequest& request, EmbedCallbacks callbacks = {});
  // submit_embed() for a thread that may not wait: it never waits for a load, a pass, a resize or
  // another call. Where the executor is in memory, it tokenizes on the calling thread and refuses
  // what submit_embed() refuses. Otherwise the request waits in the node, as after enqueue(): a
  // thread of the node loads the executor and tokenizes, cancel() and the deadline end the request
  // at once, and what only the load can tell is told by the end of the request. Any thread, also
  // inside a callback.
  Result<EmbedSubmission> enqueue_embed(EmbedRequest request, EmbedCallbacks callbacks = {});
  // submit_embed() of one text, and waits for its vector. Blocks; refused inside a callback.
  Result<std::vector<float>> embed(std::string_view executor, std::string_view text);

  // All requests that were accepted and have not ended, by id. Any thread, also inside a callback;
  // waits for no pass and no load. Costs less than 100 ns a request.
  std::vector<RequestInfo> requests() const;
  // Where a request stands in its executor's queue, and when it is expected to begin; says how both
  // are reckoned. As requests(), but of one. kNotFound when it is not active here (any more).
  Result<QueuePlace> place(RequestId id) const;
  // Which KV cells the sequences of an executor share. A look at them is made between two passes,
  // at most one a second and only when this is called; nobody waits for it, so the answer is that
  // of the last one, and this call asks for the next. nullopt: none was made since its load;
  // without holders where it is not in memory. kNotFound. Any thread, also inside a callback.
  Result<std::optional<CellSharing>> cell_sharing(std::string_view name) const;
  // All executors that were added and not removed, and one of them (kNotFound). Any thread, also
  // inside a callback; they wait for no pass and no load.
  std::vector<ExecutorInfo> executors() const;
  Result<ExecutorInfo> executor(std::string_view name) const;
  NodeInfo info() const;
  // Another number after each change of what executors() says of these: which executors there are,
  // their configuration and model, loaded, loading, suspended, running and waiting; of
  // NodeInfo::door_closed; and of what a LoadTicket says. A change is counted before the call that
  // makes it returns. Who keeps what it makes of them asks before it reads them: as long as the
  // number is that one, nothing has changed. Any thread, also inside a callback; does not block.
  std::uint64_t changes() const;
  // What the lanes have computed: turns that began to be kept at `from`, which has LaneTurns::next
  // of the call before for each lane, or nothing for all that is kept, which are the last
  // kTurnsKept of each lane. A lane never waits for this call, and it waits for no lane. Any
  // thread.
  TurnsSince turns(const std::vector<std::uint64_t>& from = {}) const;

  // Takes no new requests; active ones finish or are cancelled. Blocks until they have ended;
  // inside a callback it only begins. May be called again.
  void shutdown(Drain drain);

  // The implementation, for the layers of this library above it. Does not block.
  const std::shared_ptr<Runtime>& runtime() const { return runtime_; }

 private:
  explicit Node(std::shared_ptr<Runtime> runtime);
  std::shared_ptr<Runtime> runtime_;
};

}  // namespace choir
