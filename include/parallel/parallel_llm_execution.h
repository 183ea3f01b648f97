// Executors: running instances of language models, which a manager creates, feeds and watches.
//
//   auto& system = GlobalParallelLLMExecutionSystem::getInstance();
//   system.initialize();
//   LLMExecutionConfig config;
//   config.llmId = "a";
//   config.modelPath = "smollm2-135m";  // a GGUF file, or a name that `choir pull` has fetched
//   system.createLLM(config);
//   LLMExecutionRequest request;
//   request.llmId = "a";
//   request.inputText = "Name three colours.";
//   std::cout << system.execute(request).outputText;
//
// docs/seed-api.md says for every call what it does, when it fails and what it costs. All executors
// of a process share one node (choir/node.h), so one budget of cores and one of memory.
// Errors: no call throws. A call that fails returns false, null or an empty value; a response has
// success = false and `error`. The reason is one sentence, in the log and in lastError().
// Threads: any thread may call any function, also inside callbacks and during shutdown. A call that
// would wait for a request (execute, executeParallel, ...) is refused inside a callback; use
// executeAsync there. Where nothing else is said below, a call does not block.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "choir/export.h"

// Names of enumerators below that some headers define as macros.
#pragma push_macro("BATCH")
#pragma push_macro("COMPLETED")
#pragma push_macro("CRITICAL")
#pragma push_macro("ERROR")
#pragma push_macro("HIGH")
#pragma push_macro("HYBRID")
#pragma push_macro("IDLE")
#pragma push_macro("LOW")
#pragma push_macro("NORMAL")
#pragma push_macro("PARALLEL")
#undef BATCH
#undef COMPLETED
#undef CRITICAL
#undef ERROR
#undef HIGH
#undef HYBRID
#undef IDLE
#undef LOW
#undef NORMAL
#undef PARALLEL

namespace choir::parallel {

enum class LLMExecutionMode {
  SEQUENTIAL,  // one request of the executor at a time
  PARALLEL,    // continuous batching
  PIPELINED,   // like PARALLEL; tokenizing, computing and text of different requests overlap
  STREAMING,   // like PARALLEL, and the text of every request goes to onToken()
  BATCH,       // requests begin together: when batchSize wait, or the oldest has waited 10 ms
  HYBRID       // like BATCH while more than half of batchSize wait, otherwise like PARALLEL
};

enum class LLMExecutionStatus {
  IDLE,  // not initialized, shut down, or unloaded
  LOADING,
  READY,
  EXECUTING,  // a request is active
  COMPLETED,  // never reported; ended requests are counted in the metrics
  ERROR,      // initialize() failed; lastError() says why
  SUSPENDED,
  FAILED = ERROR  // the same value, for programs in which a header defines ERROR as a macro
};

enum class LLMPriority { LOW = 0, NORMAL = 1, HIGH = 2, CRITICAL = 3 };

using TimePoint = std::chrono::system_clock::time_point;

struct LLMExecutionConfig {
  std::string llmId;
  std::string modelPath;                 // GGUF file, or a name that `choir models` lists
  std::string modelType = "GPT";         // expected kind; "BERT" and other encoders embed
  std::size_t maxSequenceLength = 2048;  // tokens of one request, prompt and answer together
  std::size_t batchSize = 4;             // requests that compute together, 1 .. 256
  std::size_t numLayers = 0;             // expected shape; the file decides. 0: no expectation
  std::size_t hiddenSize = 0;
  std::size_t numHeads = 0;
  float learningRate = 0;  // stored and reported; nothing learns
  LLMExecutionMode mode = LLMExecutionMode::PARALLEL;
  LLMPriority priority = LLMPriority::NORMAL;
  std::map<std::string, std::string> parameters;  // docs/seed-api.md lists the keys
  TimePoint createdAt{};                          // 1970: set when the config is accepted
  TimePoint lastUsed{};
};

struct LLMExecutionRequest {
  std::string requestId;  // empty: Choir makes one
  std::string llmId;      // executor or group of replicas; empty: load balancing chooses
  std::string inputText;
  std::vector<std::string> inputTokens;  // decimal ids or vocabulary pieces, instead of the texts
  std::size_t maxOutputLength = 256;     // tokens
  float temperature = 0.7F;
  float topP = 0.9F;
  int topK = 50;
  bool streamOutput = false;
  std::string prompt;  // system message
  std::map<std::string, std::string> parameters;
  std::chrono::milliseconds timeout{0};  // from acceptance to the last token; 0: no limit
  TimePoint createdAt{};
};

struct LLMExecutionResponse {
  std::string requestId;
  std::string llmId;  // the executor that answered
  bool success = false;
  std::string outputText;
  std::vector<std::string> outputTokens;
  std::size_t inputLength = 0;   // tokens
  std::size_t outputLength = 0;  // tokens
  float latency = 0;             // seconds from acceptance to the end
  float throughput = 0;          // output tokens per second of latency
  std::string error;
  TimePoint completedAt;
};

struct LLMExecutionContext {
  std::string contextId;  // empty: Choir makes one
  std::string llmId;
  std::vector<std::string> conversationHistory;  // user, assistant, user, ...
  std::size_t maxContextLength = 0;  // tokens; the oldest messages are removed. 0: the executor's
  bool maintainContext = true;       // false: every request begins with this history again
  std::map<std::string, std::string> metadata;
  TimePoint createdAt{};  // 1970: set when the context is accepted
  TimePoint lastUsed{};
};

// Gets pieces of an answer: whole characters, in order for each request, on a callback thread.
using TokenCallback = std::function<void(const std::string& requestId, const std::string& text)>;

using Metrics = std::map<std::string, double>;

// One running instance of a model. Any thread may call.
class CHOIR_API LLMExecutor {
 public:
  virtual ~LLMExecutor();

  // initialize() blocks for the load; refused inside a callback. shutdown() blocks until all
  // requests are cancelled; inside a callback it only begins.
  virtual bool initialize() = 0;
  virtual void shutdown() = 0;
  virtual bool isInitialized() const = 0;
  virtual std::string getLLMId() const = 0;
  virtual LLMExecutionStatus getStatus() const = 0;
  virtual LLMExecutionConfig getConfig() const = 0;
  // updateConfig(), setPriority() and setExecutionMode() block for the end of the running pass, and
  // while another change of the executor is under way.
  virtual bool updateConfig(const LLMExecutionConfig& config) = 0;
  virtual std::string lastError() const = 0;

  // execute() and executeStreaming() block until the request has ended. executeAsync() waits
  // neither for the answer nor for a load, cancelExecution() not for the end.
  virtual LLMExecutionResponse execute(const LLMExecutionRequest& request) = 0;
  virtual std::future<LLMExecutionResponse> executeAsync(const LLMExecutionRequest& request) = 0;
  virtual LLMExecutionResponse executeStreaming(const LLMExecutionRequest& request,
                                                TokenCallback onToken) = 0;
  virtual void onToken(TokenCallback callback) = 0;
  virtual bool cancelExecution(const std::string& requestId) = 0;
  virtual std::vector<std::string> getActiveRequests() const = 0;
  virtual bool isRequestActive(const std::string& requestId) const = 0;

  // A context is a conversation. With a store these calls wait for the disk.
  virtual std::string createContext(const LLMExecutionContext& context) = 0;
  virtual bool updateContext(const std::string& contextId, const LLMExecutionContext& context) = 0;
  virtual bool deleteContext(const std::string& contextId) = 0;
  virtual LLMExecutionContext getContext(const std::string& contextId) const = 0;
  virtual std::vector<std::string> getAllContexts() const = 0;

  virtual Metrics getPerformanceMetrics() const = 0;
  virtual float getUtilization() const = 0;
  virtual bool enableProfiling() = 0;
  virtual bool disableProfiling() = 0;
  virtual Metrics getProfilingData() const = 0;

  virtual bool setPriority(LLMPriority priority) = 0;
  virtual LLMPriority getPriority() const = 0;
  virtual bool setExecutionMode(LLMExecutionMode mode) = 0;
  virtual LLMExecutionMode getExecutionMode() const = 0;
};

class ExecutorHandle;  // src/facade/executor_handle.h
class ManagerInside;   // src/facade/manager_inside.h
class SystemInside;    // src/facade/global_system.cc

// An executor with all calls. Any thread may call. Destruction shuts it down.
// Functions: the calls of this API are given by the programs that use it.
class CHOIR_API AdvancedLLMExecutor final : public LLMExecutor {
 public:
  explicit AdvancedLLMExecutor(const LLMExecutionConfig& config);
  ~AdvancedLLMExecutor() override;
  AdvancedLLMExecutor(const AdvancedLLMExecutor&) = delete;
  AdvancedLLMExecutor& operator=(const AdvancedLLMExecutor&) = delete;

  bool initialize() override;
  void shutdown() override;
  bool isInitialized() const override;
  std::string getLLMId() const override;
  LLMExecutionStatus getStatus() const override;
  LLMExecutionConfig getConfig() const override;
  bool updateConfig(const LLMExecutionConfig& config) override;
  std::string lastError() const override;

  LLMExecutionResponse execute(const LLMExecutionRequest& request) override;
  std::future<LLMExecutionResponse> executeAsync(const LLMExecutionRequest& request) override;
  LLMExecutionResponse executeStreaming(const LLMExecutionRequest& request,
                                        TokenCallback onToken) override;
  void onToken(TokenCallback callback) override;
  bool cancelExecution(const std::string& requestId) override;
  std::vector<std::string> getActiveRequests() const override;
  bool isRequestActive(const std::string& requestId) const override;
  // Vectors of an encoder; up to 2048 texts share passes. Empty if it failed; not in a callback.
  std::vector<float> embed(const std::string& text);
  std::vector<std::vector<float>> embedAll(const std::vector<std::string>& texts);

  std::string createContext(const LLMExecutionContext& context) override;
  bool updateContext(const std::string& contextId, const LLMExecutionContext& context) override;
  bool deleteContext(const std::string& contextId) override;
  LLMExecutionContext getContext(const std::string& contextId) const override;
  std::vector<std::string> getAllContexts() const override;

  Metrics getPerformanceMetrics() const override;
  float getUtilization() const override;
  bool enableProfiling() override;
  bool disableProfiling() override;
  Metrics getProfilingData() const override;

  bool setPriority(LLMPriority priority) override;
  LLMPriority getPriority() const override;
  bool setExecutionMode(LLMExecutionMode mode) override;
  LLMExecutionMode getExecutionMode() const override;

  // suspend() blocks for the running pass; migrate(), clone() and preloadModel() for a load or KV
  // memory; scale() and unloadModel() for copying KV state; optimize() for some 10 s of
  // measurements; validateResources() for the disk. All but suspend() and resume() may also wait
  // for another change of the executor. migrate(), clone() and optimize() are refused inside a
  // callback.
  bool suspend();
  bool resume();
  bool migrate(const std::string& targetNode);
  bool clone(const std::string& newLlmId);
  bool scale(std::size_t batchSize, std::size_t maxSequenceLength);
  bool optimize();
  std::map<std::string, std::string> getResourceInfo() const;
  bool validateResources() const;
  bool preloadModel();
  bool unloadModel();
  bool isModelLoaded() const;

 private:
  friend class ManagerInside;
  explicit AdvancedLLMExecutor(std::shared_ptr<ExecutorHandle> handle);
  std::shared_ptr<ExecutorHandle> handle_;
};

// Creates executors and chooses one for each request. Any thread may call. Destruction shuts down.
// Functions: the calls of this API are given by the programs that use it.
class CHOIR_API ParallelLLMExecutionManager {
 public:
  ParallelLLMExecutionManager();
  ~ParallelLLMExecutionManager();
  ParallelLLMExecutionManager(const ParallelLLMExecutionManager&) = delete;
  ParallelLLMExecutionManager& operator=(const ParallelLLMExecutionManager&) = delete;

  // shutdown() blocks until all requests are cancelled; inside a callback it only begins.
  bool initialize();
  void shutdown();
  bool isInitialized() const;
  std::string lastError() const;

  // createLLM() blocks for the load; refused inside a callback. destroyLLM() blocks as shutdown().
  std::shared_ptr<LLMExecutor> createLLM(const LLMExecutionConfig& config);
  bool destroyLLM(const std::string& llmId);
  std::shared_ptr<LLMExecutor> getLLM(const std::string& llmId) const;
  std::vector<std::shared_ptr<LLMExecutor>> getAllLLMs() const;
  std::vector<std::shared_ptr<LLMExecutor>> getLLMsByPriority(LLMPriority priority) const;
  std::vector<std::shared_ptr<LLMExecutor>> getLLMsByMode(LLMExecutionMode mode) const;

  // execute() blocks until the request has ended; the other calls do not wait for an answer.
  std::future<LLMExecutionResponse> executeAsync(const LLMExecutionRequest& request);
  LLMExecutionResponse execute(const LLMExecutionRequest& request);
  bool cancelExecution(const std::string& requestId);
  bool cancelAllExecutions();
  std::vector<std::string> getActiveRequests() const;
  std::vector<std::string> getActiveRequestsByLLM(const std::string& llmId) const;

  // One response for each request, in the same order. They block until the last request has ended.
  std::vector<LLMExecutionResponse> executeParallel(
      const std::vector<LLMExecutionRequest>& requests);
  std::vector<LLMExecutionResponse> executePipelined(
      const std::vector<LLMExecutionRequest>& requests);
  std::vector<LLMExecutionResponse> executeBatch(const std::vector<LLMExecutionRequest>& requests);
  std::vector<LLMExecutionResponse> executeHybrid(const std::vector<LLMExecutionRequest>& requests);

  // optimizeSystem() blocks for AdvancedLLMExecutor::optimize() of each executor, balanceLoad() for
  // a pass of each, cleanupIdleLLMs() for saving KV state, validateSystem() for the disk.
  bool optimizeSystem();
  bool balanceLoad();
  bool cleanupIdleLLMs();
  bool validateSystem();

  Metrics getSystemMetrics() const;
  std::map<std::string, std::size_t> getLLMCounts() const;
  Metrics getExecutionMetrics() const;
  bool enableSystemProfiling();
  bool disableSystemProfiling();
  Metrics getSystemProfilingData() const;

  bool setMaxLLMs(int maxLLMs);
  int getMaxLLMs() const;
  bool setExecutionPolicy(const std::string& policy);
  std::string getExecutionPolicy() const;
  bool setLoadBalancingStrategy(const std::string& strategy);
  std::string getLoadBalancingStrategy() const;
  // The seconds without work after which cleanupIdleLLMs() unloads an executor.
  bool setIdleUnloadSeconds(double seconds);
  double getIdleUnloadSeconds() const;

 private:
  std::shared_ptr<ManagerInside> inside_;
};

// One manager for the process, with named settings and periodic duties. The instance lives until
// the process ends. Any thread may call. Calls that the manager has too block as they do there.
class CHOIR_API GlobalParallelLLMExecutionSystem {
 public:
  static GlobalParallelLLMExecutionSystem& getInstance();
  GlobalParallelLLMExecutionSystem(const GlobalParallelLLMExecutionSystem&) = delete;
  GlobalParallelLLMExecutionSystem& operator=(const GlobalParallelLLMExecutionSystem&) = delete;

  bool initialize();
  void shutdown();
  bool isInitialized() const;
  std::string lastError() const;

  std::shared_ptr<ParallelLLMExecutionManager> getExecutionManager() const;
  std::shared_ptr<LLMExecutor> createLLM(const LLMExecutionConfig& config);
  bool destroyLLM(const std::string& llmId);
  std::shared_ptr<LLMExecutor> getLLM(const std::string& llmId) const;
  std::future<LLMExecutionResponse> executeAsync(const LLMExecutionRequest& request);
  LLMExecutionResponse execute(const LLMExecutionRequest& request);
  std::vector<LLMExecutionResponse> executeParallel(
      const std::vector<LLMExecutionRequest>& requests);
  std::vector<std::shared_ptr<LLMExecutor>> getAllLLMs() const;
  Metrics getSystemMetrics() const;

  // Replaces the whole configuration. If the value of a known key is wrong, it returns false and
  // changes nothing. A missing key has its default again; an unknown key is kept and logged.
  bool setSystemConfiguration(const std::map<std::string, std::string>& configuration);
  std::map<std::string, std::string> getSystemConfiguration() const;

  // A second node in this process, for migrate(). It ends with unregisterNode() (refused while it
  // has executors), or with the last manager and executor. Both block while its threads start or
  // end.
  bool registerNode(const std::string& name);
  bool unregisterNode(const std::string& name);
  std::vector<std::string> getNodes() const;

 private:
  GlobalParallelLLMExecutionSystem();
  ~GlobalParallelLLMExecutionSystem();
  std::unique_ptr<SystemInside> inside_;
};

}  // namespace choir::parallel

using choir::parallel::AdvancedLLMExecutor;
using choir::parallel::GlobalParallelLLMExecutionSystem;
using choir::parallel::LLMExecutionConfig;
using choir::parallel::LLMExecutionContext;
using choir::parallel::LLMExecutionMode;
using choir::parallel::LLMExecutionRequest;
using choir::parallel::LLMExecutionResponse;
using choir::parallel::LLMExecutionStatus;
using choir::parallel::LLMExecutor;
using choir::parallel::LLMPriority;
using choir::parallel::ParallelLLMExecutionManager;

#pragma pop_macro("BATCH")
#pragma pop_macro("COMPLETED")
#pragma pop_macro("CRITICAL")
#pragma pop_macro("ERROR")
#pragma pop_macro("HIGH")
#pragma pop_macro("HYBRID")
#pragma pop_macro("IDLE")
#pragma pop_macro("LOW")
#pragma pop_macro("NORMAL")
#pragma pop_macro("PARALLEL")
