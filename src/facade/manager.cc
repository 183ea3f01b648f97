// ParallelLLMExecutionManager: each call handed to its inside, its error kept for lastError().
#include "facade/boundary.h"
#include "facade/manager_inside.h"

namespace choir::parallel {
namespace {

std::vector<std::shared_ptr<LLMExecutor>> select(
    const std::vector<ManagerInside::Llm>& llms,
    const std::function<bool(const AdvancedLLMExecutor&)>& wanted) {
  std::vector<std::shared_ptr<LLMExecutor>> selected;
  for (const auto& llm : llms)
    if (wanted(*llm)) selected.push_back(llm);
  return selected;
}

// One answer for each request, whatever happens.
template <class F>
ManagerInside::Responses answered(const ManagerInside& inside, const char* call,
                                  const ManagerInside::Requests& requests, F&& work) {
  auto responses =
      caught([&]() -> Result<ManagerInside::Responses> { return std::forward<F>(work)(); });
  if (responses) return std::move(*responses);
  (void)inside.report(call, tl::unexpected(responses.error()));
  ManagerInside::Responses refused;
  for (const LLMExecutionRequest& request : requests)
    refused.push_back(refusal(request, request.llmId, responses.error().message));
  return refused;
}

}  // namespace

ParallelLLMExecutionManager::ParallelLLMExecutionManager()
    : inside_(std::make_shared<ManagerInside>()) {}
ParallelLLMExecutionManager::~ParallelLLMExecutionManager() {
  carried_out(*inside_, "shutdown", [&] { inside_->shutdown(); });
}

bool ParallelLLMExecutionManager::initialize() {
  return done(*inside_, "initialize", [&] { return inside_->initialize(); });
}
void ParallelLLMExecutionManager::shutdown() {
  carried_out(*inside_, "shutdown", [&] { inside_->shutdown(); });
}
bool ParallelLLMExecutionManager::isInitialized() const { return inside_->initialized(); }
std::string ParallelLLMExecutionManager::lastError() const { return inside_->last_error(); }

std::shared_ptr<LLMExecutor> ParallelLLMExecutionManager::createLLM(
    const LLMExecutionConfig& config) {
  return told(*inside_, "createLLM", [&] { return inside_->create(config); });
}
bool ParallelLLMExecutionManager::destroyLLM(const std::string& llm_id) {
  return done(*inside_, "destroyLLM", [&] { return inside_->destroy(llm_id); });
}
std::shared_ptr<LLMExecutor> ParallelLLMExecutionManager::getLLM(const std::string& llm_id) const {
  return inside_->find(llm_id);
}
std::vector<std::shared_ptr<LLMExecutor>> ParallelLLMExecutionManager::getAllLLMs() const {
  return select(inside_->all(), [](const auto&) { return true; });
}
std::vector<std::shared_ptr<LLMExecutor>> ParallelLLMExecutionManager::getLLMsByPriority(
    LLMPriority priority) const {
  return select(inside_->all(), [&](const auto& llm) { return llm.getPriority() == priority; });
}
std::vector<std::shared_ptr<LLMExecutor>> ParallelLLMExecutionManager::getLLMsByMode(
    LLMExecutionMode mode) const {
  return select(inside_->all(), [&](const auto& llm) { return llm.getExecutionMode() == mode; });
}

std::future<LLMExecutionResponse> ParallelLLMExecutionManager::executeAsync(
    const LLMExecutionRequest& request) {
  return told_later<LLMExecutionResponse>(
      *inside_, "executeAsync", [&](auto answer) { inside_->single(request, std::move(answer)); },
      [&](const Error& error) { return refusal(request, request.llmId, error.message); });
}
LLMExecutionResponse ParallelLLMExecutionManager::execute(const LLMExecutionRequest& request) {
  const auto work = [&] { return ManagerInside::Responses{inside_->run(request)}; };
  return answered(*inside_, "execute", {request}, work).front();
}
bool ParallelLLMExecutionManager::cancelExecution(const std::string& request_id) {
  return done(*inside_, "cancelExecution", [&] { return inside_->cancel(request_id); });
}
bool ParallelLLMExecutionManager::cancelAllExecutions() {
  return done(*inside_, "cancelAllExecutions", [&] { return inside_->cancel_all(); });
}
std::vector<std::string> ParallelLLMExecutionManager::getActiveRequests() const {
  return inside_->active({});
}
std::vector<std::string> ParallelLLMExecutionManager::getActiveRequestsByLLM(
    const std::string& llm_id) const {
  return llm_id.empty() ? std::vector<std::string>() : inside_->active(llm_id);
}

std::vector<LLMExecutionResponse> ParallelLLMExecutionManager::executeParallel(
    const std::vector<LLMExecutionRequest>& requests) {
  return answered(*inside_, "executeParallel", requests,
                  [&] { return inside_->parallel(requests); });
}
std::vector<LLMExecutionResponse> ParallelLLMExecutionManager::executePipelined(
    const std::vector<LLMExecutionRequest>& requests) {
  return answered(*inside_, "executePipelined", requests,
                  [&] { return inside_->pipelined(requests); });
}
std::vector<LLMExecutionResponse> ParallelLLMExecutionManager::executeBatch(
    const std::vector<LLMExecutionRequest>& requests) {
  return answered(*inside_, "executeBatch", requests, [&] { return inside_->batch(requests); });
}
std::vector<LLMExecutionResponse> ParallelLLMExecutionManager::executeHybrid(
    const std::vector<LLMExecutionRequest>& requests) {
  return answered(*inside_, "executeHybrid", requests, [&] { return inside_->hybrid(requests); });
}

bool ParallelLLMExecutionManager::optimizeSystem() {
  return done(*inside_, "optimizeSystem", [&] { return inside_->optimize(); });
}
bool ParallelLLMExecutionManager::balanceLoad() {
  return done(*inside_, "balanceLoad", [&] { return inside_->balance(); });
}
bool ParallelLLMExecutionManager::cleanupIdleLLMs() {
  return done(*inside_, "cleanupIdleLLMs", [&] { return inside_->cleanup(); });
}
bool ParallelLLMExecutionManager::validateSystem() {
  return done(*inside_, "validateSystem", [&] { return inside_->validate(); });
}

Metrics ParallelLLMExecutionManager::getSystemMetrics() const {
  return told(*inside_, "getSystemMetrics", [&] { return inside_->system_metrics(); });
}
std::map<std::string, std::size_t> ParallelLLMExecutionManager::getLLMCounts() const {
  return told(*inside_, "getLLMCounts", [&] { return inside_->counts(); });
}
Metrics ParallelLLMExecutionManager::getExecutionMetrics() const {
  return told(*inside_, "getExecutionMetrics", [&] { return inside_->execution_metrics(); });
}
bool ParallelLLMExecutionManager::enableSystemProfiling() {
  inside_->set_profiling(true);
  return true;
}
bool ParallelLLMExecutionManager::disableSystemProfiling() {
  inside_->set_profiling(false);
  return true;
}
Metrics ParallelLLMExecutionManager::getSystemProfilingData() const {
  return told(*inside_, "getSystemProfilingData", [&] { return inside_->profiling_data(); });
}

bool ParallelLLMExecutionManager::setMaxLLMs(int max_llms) {
  return done(*inside_, "setMaxLLMs", [&] { return inside_->set_llms_max(max_llms); });
}
int ParallelLLMExecutionManager::getMaxLLMs() const { return inside_->llms_max(); }
bool ParallelLLMExecutionManager::setExecutionPolicy(const std::string& policy) {
  return done(*inside_, "setExecutionPolicy", [&] { return inside_->set_policy(policy); });
}
std::string ParallelLLMExecutionManager::getExecutionPolicy() const { return inside_->policy(); }
bool ParallelLLMExecutionManager::setLoadBalancingStrategy(const std::string& strategy) {
  return done(*inside_, "setLoadBalancingStrategy", [&] { return inside_->set_balance(strategy); });
}
std::string ParallelLLMExecutionManager::getLoadBalancingStrategy() const {
  return inside_->balance_name();
}
bool ParallelLLMExecutionManager::setIdleUnloadSeconds(double seconds) {
  return done(*inside_, "setIdleUnloadSeconds", [&] { return inside_->set_idle_unload(seconds); });
}
double ParallelLLMExecutionManager::getIdleUnloadSeconds() const { return inside_->idle_unload(); }

}  // namespace choir::parallel
