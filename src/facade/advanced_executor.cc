// AdvancedLLMExecutor: each call handed to its inside, its error kept for lastError().
#include "facade/boundary.h"
#include "facade/executor_handle.h"
#include "parallel/parallel_llm_execution.h"

namespace choir::parallel {
namespace {

// Default of optimize(): long enough for four candidates of a small model.
constexpr Nanos kOptimizeTime = std::chrono::seconds(10);

LLMExecutionResponse run(ExecutorHandle& handle, const LLMExecutionRequest& request,
                         TokenCallback stream) {
  auto response = caught([&]() -> Result<LLMExecutionResponse> {
    return handle.run(request, {.stream = std::move(stream), .gated = {}});
  });
  if (response) return std::move(*response);
  (void)handle.report("execute", tl::unexpected(response.error()));
  return refusal(request, request.llmId, response.error().message);
}

}  // namespace

LLMExecutor::~LLMExecutor() = default;

AdvancedLLMExecutor::AdvancedLLMExecutor(const LLMExecutionConfig& config)
    : handle_(std::make_shared<ExecutorHandle>(config, std::make_shared<RequestNames>())) {}

AdvancedLLMExecutor::AdvancedLLMExecutor(std::shared_ptr<ExecutorHandle> handle)
    : handle_(std::move(handle)) {}

AdvancedLLMExecutor::~AdvancedLLMExecutor() {
  (void)done(*handle_, "shutdown", [&] { return handle_->shutdown(); });
}

bool AdvancedLLMExecutor::initialize() {
  return done(*handle_, "initialize", [&] { return handle_->initialize(); });
}
void AdvancedLLMExecutor::shutdown() {
  (void)done(*handle_, "shutdown", [&] { return handle_->shutdown(); });
}
bool AdvancedLLMExecutor::isInitialized() const { return handle_->initialized(); }
std::string AdvancedLLMExecutor::getLLMId() const { return handle_->config().llmId; }
LLMExecutionStatus AdvancedLLMExecutor::getStatus() const {
  return told(*handle_, "getStatus", [&] { return handle_->status(); });
}
LLMExecutionConfig AdvancedLLMExecutor::getConfig() const { return handle_->config(); }
bool AdvancedLLMExecutor::updateConfig(const LLMExecutionConfig& config) {
  return done(*handle_, "updateConfig", [&] { return handle_->update(config); });
}
std::string AdvancedLLMExecutor::lastError() const { return handle_->last_error(); }

LLMExecutionResponse AdvancedLLMExecutor::execute(const LLMExecutionRequest& request) {
  return run(*handle_, request, {});
}

std::future<LLMExecutionResponse> AdvancedLLMExecutor::executeAsync(
    const LLMExecutionRequest& request) {
  return told_later<LLMExecutionResponse>(
      *handle_, "executeAsync",
      [&](auto answer) { handle_->start(request, {}, std::move(answer)); },
      [&](const Error& error) { return refusal(request, handle_->config().llmId, error.message); });
}

LLMExecutionResponse AdvancedLLMExecutor::executeStreaming(const LLMExecutionRequest& request,
                                                           TokenCallback on_token) {
  return run(*handle_, request, std::move(on_token));
}

void AdvancedLLMExecutor::onToken(TokenCallback callback) {
  handle_->set_on_token(std::move(callback));
}
bool AdvancedLLMExecutor::cancelExecution(const std::string& request_id) {
  return told(*handle_, "cancelExecution", [&] { return handle_->cancel(request_id); });
}
std::vector<std::string> AdvancedLLMExecutor::getActiveRequests() const {
  return told(*handle_, "getActiveRequests", [&] { return handle_->active(); });
}
bool AdvancedLLMExecutor::isRequestActive(const std::string& request_id) const {
  return handle_->active(request_id);
}

std::vector<float> AdvancedLLMExecutor::embed(const std::string& text) {
  auto vectors = embedAll({text});
  return vectors.empty() ? std::vector<float>() : std::move(vectors.front());
}
std::vector<std::vector<float>> AdvancedLLMExecutor::embedAll(
    const std::vector<std::string>& texts) {
  return told(*handle_, "embed", [&] { return handle_->embed(texts); });
}

std::string AdvancedLLMExecutor::createContext(const LLMExecutionContext& context) {
  return told(*handle_, "createContext", [&] { return handle_->create_context(context); });
}
bool AdvancedLLMExecutor::updateContext(const std::string& context_id,
                                        const LLMExecutionContext& context) {
  return done(*handle_, "updateContext",
              [&] { return handle_->update_context(context_id, context); });
}
bool AdvancedLLMExecutor::deleteContext(const std::string& context_id) {
  return done(*handle_, "deleteContext", [&] { return handle_->delete_context(context_id); });
}
LLMExecutionContext AdvancedLLMExecutor::getContext(const std::string& context_id) const {
  return told(*handle_, "getContext", [&] { return handle_->context(context_id); });
}
std::vector<std::string> AdvancedLLMExecutor::getAllContexts() const {
  return told(*handle_, "getAllContexts", [&] { return handle_->contexts(); });
}

Metrics AdvancedLLMExecutor::getPerformanceMetrics() const {
  return told(*handle_, "getPerformanceMetrics", [&] { return handle_->metrics(); });
}
float AdvancedLLMExecutor::getUtilization() const {
  return told(*handle_, "getUtilization",
              [&] { return static_cast<float>(handle_->utilization()); });
}
bool AdvancedLLMExecutor::enableProfiling() {
  handle_->set_profiling(true);
  return true;
}
bool AdvancedLLMExecutor::disableProfiling() {
  handle_->set_profiling(false);
  return true;
}
Metrics AdvancedLLMExecutor::getProfilingData() const {
  return told(*handle_, "getProfilingData", [&] { return handle_->profiling_data(); });
}

bool AdvancedLLMExecutor::setPriority(LLMPriority priority) {
  return done(*handle_, "setPriority", [&] { return handle_->set_priority(priority); });
}
LLMPriority AdvancedLLMExecutor::getPriority() const { return handle_->config().priority; }
bool AdvancedLLMExecutor::setExecutionMode(LLMExecutionMode mode) {
  return done(*handle_, "setExecutionMode", [&] { return handle_->set_mode(mode); });
}
LLMExecutionMode AdvancedLLMExecutor::getExecutionMode() const { return handle_->config().mode; }

bool AdvancedLLMExecutor::suspend() {
  return done(*handle_, "suspend", [&] { return handle_->suspend(); });
}
bool AdvancedLLMExecutor::resume() {
  return done(*handle_, "resume", [&] { return handle_->resume(); });
}
bool AdvancedLLMExecutor::migrate(const std::string& target_node) {
  return done(*handle_, "migrate", [&] { return handle_->migrate(target_node); });
}
bool AdvancedLLMExecutor::clone(const std::string& new_llm_id) {
  return done(*handle_, "clone", [&] { return handle_->clone(new_llm_id); });
}
bool AdvancedLLMExecutor::scale(std::size_t batch_size, std::size_t max_sequence_length) {
  return done(*handle_, "scale", [&] { return handle_->scale(batch_size, max_sequence_length); });
}
bool AdvancedLLMExecutor::optimize() {
  return done(*handle_, "optimize", [&] { return handle_->optimize(kOptimizeTime); });
}
std::map<std::string, std::string> AdvancedLLMExecutor::getResourceInfo() const {
  return told(*handle_, "getResourceInfo", [&] { return handle_->resource_info(); });
}
bool AdvancedLLMExecutor::validateResources() const {
  return done(*handle_, "validateResources", [&] { return handle_->validate_resources(); });
}
bool AdvancedLLMExecutor::preloadModel() {
  return done(*handle_, "preloadModel", [&] { return handle_->load(); });
}
bool AdvancedLLMExecutor::unloadModel() {
  return done(*handle_, "unloadModel", [&] { return handle_->unload(); });
}
bool AdvancedLLMExecutor::isModelLoaded() const {
  return told(*handle_, "isModelLoaded", [&] { return handle_->loaded(); });
}

}  // namespace choir::parallel
