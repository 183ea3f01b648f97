// ParallelLLMExecutionManager: each call handed to its inside, its error kept for lastError().
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

}  // namespace

ParallelLLMExecutionManager::ParallelLLMExecutionManager()
    : inside_(std::make_shared<ManagerInside>()) {}
ParallelLLMExecutionManager::~ParallelLLMExecutionManager() { inside_->shutdown(); }

bool ParallelLLMExecutionManager::initialize() {
  return inside_->report("initialize", inside_->initialize());
}
void ParallelLLMExecutionManager::shutdown() { inside_->shutdown(); }
bool ParallelLLMExecutionManager::isInitialized() const { return inside_->initialized(); }
std::string ParallelLLMExecutionManager::lastError() const { return inside_->last_error(); }

std::shared_ptr<LLMExecutor> ParallelLLMExecutionManager::createLLM(
    const LLMExecutionConfig& config) {
  auto llm = inside_->create(config);
  if (llm) return *llm;
  (void)inside_->report("createLLM", tl::unexpected(llm.error()));
  return nullptr;
}
bool ParallelLLMExecutionManager::destroyLLM(const std::string& llm_id) {
  return inside_->report("destroyLLM", inside_->destroy(llm_id));
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
  auto promise = std::make_shared<std::promise<LLMExecutionResponse>>();
  auto future = promise->get_future();
  inside_->single(request, [promise](LLMExecutionResponse response) {
    promise->set_value(std::move(response));
  });
  return future;
}
LLMExecutionResponse ParallelLLMExecutionManager::execute(const LLMExecutionRequest& request) {
  return inside_->run(request);
}
bool ParallelLLMExecutionManager::cancelExecution(const std::string& request_id) {
  return inside_->report("cancelExecution", inside_->cancel(request_id));
}
bool ParallelLLMExecutionManager::cancelAllExecutions() {
  return inside_->report("cancelAllExecutions", inside_->cancel_all());
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
  return inside_->parallel(requests);
}
std::vector<LLMExecutionResponse> ParallelLLMExecutionManager::executePipelined(
    const std::vector<LLMExecutionRequest>& requests) {
  return inside_->pipelined(requests);
}
std::vector<LLMExecutionResponse> ParallelLLMExecutionManager::executeBatch(
    const std::vector<LLMExecutionRequest>& requests) {
  return inside_->batch(requests);
}
std::vector<LLMExecutionResponse> ParallelLLMExecutionManager::executeHybrid(
    const std::vector<LLMExecutionRequest>& requests) {
  return inside_->hybrid(requests);
}

bool ParallelLLMExecutionManager::optimizeSystem() {
  return inside_->report("optimizeSystem", inside_->optimize());
}
bool ParallelLLMExecutionManager::balanceLoad() {
  return inside_->report("balanceLoad", inside_->balance());
}
bool ParallelLLMExecutionManager::cleanupIdleLLMs() {
  return inside_->report("cleanupIdleLLMs", inside_->cleanup());
}
bool ParallelLLMExecutionManager::validateSystem() {
  return inside_->report("validateSystem", inside_->validate());
}

Metrics ParallelLLMExecutionManager::getSystemMetrics() const { return inside_->system_metrics(); }
std::map<std::string, std::size_t> ParallelLLMExecutionManager::getLLMCounts() const {
  return inside_->counts();
}
Metrics ParallelLLMExecutionManager::getExecutionMetrics() const {
  return inside_->execution_metrics();
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
  return inside_->profiling_data();
}

bool ParallelLLMExecutionManager::setMaxLLMs(int max_llms) {
  return inside_->report("setMaxLLMs", inside_->set_llms_max(max_llms));
}
int ParallelLLMExecutionManager::getMaxLLMs() const { return inside_->llms_max(); }
bool ParallelLLMExecutionManager::setExecutionPolicy(const std::string& policy) {
  return inside_->report("setExecutionPolicy", inside_->set_policy(policy));
}
std::string ParallelLLMExecutionManager::getExecutionPolicy() const { return inside_->policy(); }
bool ParallelLLMExecutionManager::setLoadBalancingStrategy(const std::string& strategy) {
  return inside_->report("setLoadBalancingStrategy", inside_->set_balance(strategy));
}
std::string ParallelLLMExecutionManager::getLoadBalancingStrategy() const {
  return inside_->balance_name();
}
bool ParallelLLMExecutionManager::setIdleUnloadSeconds(double seconds) {
  return inside_->report("setIdleUnloadSeconds", inside_->set_idle_unload(seconds));
}
double ParallelLLMExecutionManager::getIdleUnloadSeconds() const { return inside_->idle_unload(); }

}  // namespace choir::parallel
