// The inside of an AdvancedLLMExecutor: where its executor is and what its callers said of it. All
// else is asked of the node each time.
//
// Threads: every call from any thread. Calls that change where the executor is (initialize,
// shutdown, migrate, scale, ...) go one at a time; inside a callback, which such a call may be
// waiting for, they are refused instead of waiting.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/workers.h"
#include "facade/last_error.h"
#include "facade/request_names.h"
#include "facade/translate.h"
#include "facade/world.h"

namespace choir::parallel {

// Functions: one for each call of LLMExecutor and AdvancedLLMExecutor, which the API gives, and the
// steps of those that take several.
class ExecutorHandle : public std::enable_shared_from_this<ExecutorHandle> {
 public:
  ExecutorHandle(LLMExecutionConfig config, std::shared_ptr<RequestNames> names);

  // On the process's first node, or the one of set_node().
  Status initialize();
  Status shutdown();
  // shutdown() on a thread that may wait for it.
  void shut_down_elsewhere();
  bool initialized() const;
  LLMExecutionStatus status() const;
  LLMExecutionConfig config() const;
  Status update(const LLMExecutionConfig& config);
  Status set_priority(LLMPriority priority);
  Status set_mode(LLMExecutionMode mode);
  std::string last_error() const { return last_error_.text(); }
  // Keeps the reason for lastError(), logs it, and says whether all was well.
  bool report(const char* call, const Status& status) const;

  using Done = std::function<void(LLMExecutionResponse)>;
  struct Way {
    TokenCallback stream;  // instead of onToken()'s
    // Not to begin before the gate of that node opens; told the id there, unless it was refused.
    std::function<void(const std::shared_ptr<Runtime>&, RequestId)> gated;
  };
  // The one way in: `done` is called once, on a callback thread, or here where it is refused.
  void start(LLMExecutionRequest request, Way way, Done done);
  LLMExecutionResponse run(LLMExecutionRequest request, Way way);
  void set_on_token(TokenCallback callback);
  bool cancel(const std::string& request_id) const;
  // Of a request of this executor that the node has accepted.
  Status cancel(RequestId id) const;
  void cancel_all() const;
  std::vector<std::string> active() const { return names_->active(this); }
  bool active(const std::string& request_id) const { return names_->owner(request_id) == this; }
  Result<std::vector<std::vector<float>>> embed(std::vector<std::string> texts);

  Result<std::string> create_context(const LLMExecutionContext& context);
  Status update_context(const std::string& id, const LLMExecutionContext& context);
  Status delete_context(const std::string& id);
  Result<LLMExecutionContext> context(const std::string& id) const;
  std::vector<std::string> contexts() const;

  Metrics metrics() const;
  double utilization() const;
  void set_profiling(bool on);
  Metrics profiling_data() const;
  std::map<std::string, std::string> resource_info() const;
  Status validate_resources() const;

  Status suspend();
  Status resume();
  Status migrate(const std::string& node);
  // A new executor on the same weights and node, with copies of the conversations; the adopter
  // takes it.
  Status clone(const std::string& id);
  using Adopter = std::function<Status(const std::shared_ptr<ExecutorHandle>&)>;
  void set_adopter(Adopter adopter);
  // Which node initialize() uses where none is named.
  void set_node(const std::string& node);
  Status scale(std::size_t batch, std::size_t length);
  Status optimize(Nanos time_max);
  Status load();
  Status unload();
  bool loaded() const;

  // Where it is now; kNotFound when it is not initialized.
  struct Place {
    std::shared_ptr<World> world;
    std::shared_ptr<Runtime> node;
    std::string name;  // there
    std::string node_name;
    bool encoder = false;
  };
  Result<Place> place() const;
  std::optional<ExecutorInfo> info() const;
  std::string group() const;

 private:
  enum class Phase : std::uint8_t { kIdle, kLoading, kReady, kFailed };
  struct State {
    LLMExecutionConfig config;
    ExecutorSettings settings;
    Phase phase = Phase::kIdle;
    bool changing = false;
    std::optional<Place> place;
    TokenCallback on_token;
    Adopter adopter;
    std::string node = "home";  // to initialize on
    bool profiling = false;
    std::map<std::string, double> optimized;  // what optimize() found
  };
  // Of requests; the node counts its own.
  struct Counts {
    std::uint64_t requests = 0;
    std::uint64_t completed = 0;
    std::uint64_t errors = 0;
    std::uint64_t cancelled = 0;
    double latency_seconds = 0;
    double output_tokens = 0;
    double reused_tokens = 0;
    // While profiling:
    double queue_seconds = 0;
    double prefill_seconds = 0;
    double decode_seconds = 0;
    std::uint64_t profiled = 0;
  };
  struct Window {  // of utilization()
    double seconds[2] = {0, 0};
    double compute[2] = {0, 0};
  };
  struct Running;  // one request between start() and its end

  // One change at a time. What `work` throws is its error.
  Status change(const std::function<Status()>& work);
  Status begin_change();
  void end_change();
  Status enter(const std::shared_ptr<World>& world, const std::string& node);
  // Out of its node and out of its conversations' home. Part of a change.
  Status leave();
  // A call for which it must be in its node; again where it has just moved to another.
  Status where_it_is(const std::function<Status(const Place&)>& call) const;
  Status add_what_fits(Runtime& node, ExecutorConfig wanted) const;
  ExecutorConfig node_config(const ModelInfo& model, const LLMExecutionConfig& config,
                             const ExecutorSettings& settings, const std::string& name) const;
  Status check_shape(const ModelInfo& model, const LLMExecutionConfig& config,
                     const ExecutorSettings& settings) const;
  // Checks it and sends it on its way; an error: it has not begun.
  Status begin(const std::shared_ptr<Running>& running);
  // On this thread, or on a worker.
  Status submit_or_load(const std::shared_ptr<Running>& running, const Place& place);
  void submit_where_it_is(const std::shared_ptr<Running>& running);
  Result<RequestId> submit(const std::shared_ptr<Running>& running, const Place& place);
  Result<RequestId> submit_embedding(const std::shared_ptr<Running>& running, const Place& place);
  static Result<std::chrono::milliseconds> deadline_left(const Running& running,
                                                         const Place& place);
  // Tells the caller, once; later calls do nothing.
  void finish(Running& running, LLMExecutionResponse response);
  void fail_with(Running& running, const Error& error);
  void settle(Running& running, const Completion& completion);
  void settle_embedding(Running& running, const EmbedCompletion& completion);
  template <class Settle>
  static void tell_end(Running& running, Settle settle);
  Result<RequestId> submit_tokens(const std::shared_ptr<Running>& running, const Place& place,
                                  Request request, Callbacks callbacks);
  void learn_model(Running& running, const Place& place) const;
  static Result<std::vector<TokenId>> tokens_of(const std::vector<std::string>& pieces,
                                                const Model& model);
  Result<double> prompt_speed(const Place& place);

  // Of this executor's work at the workers.
  Workers::Key work_key() const { return reinterpret_cast<Workers::Key>(this); }

  const std::shared_ptr<RequestNames> names_;
  mutable Monitor<State> state_;
  mutable LastError last_error_;
  mutable Guarded<Counts> counts_;
  mutable Guarded<Window> window_;
  std::atomic<std::int64_t> last_used_ms_{0};
};

}  // namespace choir::parallel
