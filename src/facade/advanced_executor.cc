// AdvancedLLMExecutor: each call handed to its inside, its error kept for lastError().
#include "facade/executor_handle.h"
#include "parallel/parallel_llm_execution.h"

namespace choir::parallel {
namespace {

// Default of optimize(): long enough for four candidates of a small model.
constexpr Nanos kOptimizeTime = std::chrono::seconds(10);

}  // namespace

LLMExecutor::~LLMExecutor() = default;

AdvancedLLMExecutor::AdvancedLLMExecutor(const LLMExecutionConfig& config)
    : handle_(std::make_shared<ExecutorHandle>(config, std::make_shared<RequestNames>())) {}

AdvancedLLMExecutor::AdvancedLLMExecutor(std::shared_ptr<ExecutorHandle> handle)
    : handle_(std::move(handle)) {}

AdvancedLLMExecutor::~AdvancedLLMExecutor() {
  (void)handle_->report("shutdown", handle_->shutdown());
}

bool AdvancedLLMExecutor::initialize() {
  return handle_->report("initialize", handle_->initialize());
}
void AdvancedLLMExecutor::shutdown() { (void)handle_->report("shutdown", handle_->shutdown()); }
bool AdvancedLLMExecutor::isInitialized() const { return handle_->initialized(); }
std::string AdvancedLLMExecutor::getLLMId() const { return handle_->config().llmId; }
LLMExecutionStatus AdvancedLLMExecutor::getStatus() const { return handle_->status(); }
LLMExecutionConfig AdvancedLLMExecutor::getConfig() const { return handle_->config(); }
bool AdvancedLLMExecutor::updateConfig(const LLMExecutionConfig& config) {
  return handle_->report("updateConfig", handle_->update(config));
}
std::string AdvancedLLMExecutor::lastError() const { return handle_->last_error(); }

LLMExecutionResponse AdvancedLLMExecutor::execute(const LLMExecutionRequest& request) {
  return handle_->run(request, {});
}

std::future<LLMExecutionResponse> AdvancedLLMExecutor::executeAsync(
    const LLMExecutionRequest& request) {
  auto promise = std::make_shared<std::promise<LLMExecutionResponse>>();
  auto future = promise->get_future();
  handle_->start(request, {}, [promise](LLMExecutionResponse response) {
    promise->set_value(std::move(response));
  });
  return future;
}

LLMExecutionResponse AdvancedLLMExecutor::executeStreaming(const LLMExecutionRequest& request,
                                                           TokenCallback on_token) {
  return handle_->run(request, {.stream = std::move(on_token), .gated = {}});
}

void AdvancedLLMExecutor::onToken(TokenCallback callback) {
  handle_->set_on_token(std::move(callback));
}
bool AdvancedLLMExecutor::cancelExecution(const std::string& request_id) {
  return handle_->cancel(request_id);
}
std::vector<std::string> AdvancedLLMExecutor::getActiveRequests() const {
  return handle_->active();
}
bool AdvancedLLMExecutor::isRequestActive(const std::string& request_id) const {
  return handle_->active(request_id);
}

std::vector<float> AdvancedLLMExecutor::embed(const std::string& text) {
  auto vector = handle_->embed(text);
  if (vector) return std::move(*vector);
  (void)handle_->report("embed", tl::unexpected(vector.error()));
  return {};
}

std::string AdvancedLLMExecutor::createContext(const LLMExecutionContext& context) {
  auto id = handle_->create_context(context);
  if (id) return std::move(*id);
  (void)handle_->report("createContext", tl::unexpected(id.error()));
  return {};
}
bool AdvancedLLMExecutor::updateContext(const std::string& context_id,
                                        const LLMExecutionContext& context) {
  return handle_->report("updateContext", handle_->update_context(context_id, context));
}
bool AdvancedLLMExecutor::deleteContext(const std::string& context_id) {
  return handle_->report("deleteContext", handle_->delete_context(context_id));
}
LLMExecutionContext AdvancedLLMExecutor::getContext(const std::string& context_id) const {
  auto context = handle_->context(context_id);
  if (context) return std::move(*context);
  (void)handle_->report("getContext", tl::unexpected(context.error()));
  return {};
}
std::vector<std::string> AdvancedLLMExecutor::getAllContexts() const { return handle_->contexts(); }

Metrics AdvancedLLMExecutor::getPerformanceMetrics() const { return handle_->metrics(); }
float AdvancedLLMExecutor::getUtilization() const {
  return static_cast<float>(handle_->utilization());
}
bool AdvancedLLMExecutor::enableProfiling() {
  handle_->set_profiling(true);
  return true;
}
bool AdvancedLLMExecutor::disableProfiling() {
  handle_->set_profiling(false);
  return true;
}
Metrics AdvancedLLMExecutor::getProfilingData() const { return handle_->profiling_data(); }

bool AdvancedLLMExecutor::setPriority(LLMPriority priority) {
  return handle_->report("setPriority", handle_->set_priority(priority));
}
LLMPriority AdvancedLLMExecutor::getPriority() const { return handle_->config().priority; }
bool AdvancedLLMExecutor::setExecutionMode(LLMExecutionMode mode) {
  return handle_->report("setExecutionMode", handle_->set_mode(mode));
}
LLMExecutionMode AdvancedLLMExecutor::getExecutionMode() const { return handle_->config().mode; }

bool AdvancedLLMExecutor::suspend() { return handle_->report("suspend", handle_->suspend()); }
bool AdvancedLLMExecutor::resume() { return handle_->report("resume", handle_->resume()); }
bool AdvancedLLMExecutor::migrate(const std::string& target_node) {
  return handle_->report("migrate", handle_->migrate(target_node));
}
bool AdvancedLLMExecutor::clone(const std::string& new_llm_id) {
  return handle_->report("clone", handle_->clone(new_llm_id));
}
bool AdvancedLLMExecutor::scale(std::size_t batch_size, std::size_t max_sequence_length) {
  return handle_->report("scale", handle_->scale(batch_size, max_sequence_length));
}
bool AdvancedLLMExecutor::optimize() {
  return handle_->report("optimize", handle_->optimize(kOptimizeTime));
}
std::map<std::string, std::string> AdvancedLLMExecutor::getResourceInfo() const {
  return handle_->resource_info();
}
bool AdvancedLLMExecutor::validateResources() const {
  return handle_->report("validateResources", handle_->validate_resources());
}
bool AdvancedLLMExecutor::preloadModel() {
  return handle_->report("preloadModel", handle_->load());
}
bool AdvancedLLMExecutor::unloadModel() {
  return handle_->report("unloadModel", handle_->unload());
}
bool AdvancedLLMExecutor::isModelLoaded() const { return handle_->loaded(); }

}  // namespace choir::parallel
