#include "runtime/executor_facts.h"

#include <algorithm>
#include <utility>

#include "runtime/config_parts.h"

namespace choir {

std::int32_t ExecutorFacts::longest_sequence(const ExecutorConfig& config,
                                             const EngineConfig& engine, const ModelInfo& model) {
  std::int32_t tokens = engine.context_tokens;
  if (model.context_tokens_trained > 0) tokens = std::min(tokens, model.context_tokens_trained);
  if (config.sequence_tokens_max > 0) tokens = std::min(tokens, config.sequence_tokens_max);
  return tokens;
}

ExecutorFacts::ExecutorFacts(ExecutorId id, const ExecutorConfig& config,
                             std::shared_ptr<const Model> model, const Engine& engine,
                             const ExecutorRules& rules, const Clock& clock,
                             std::shared_ptr<ExecutorStats> stats)
    : id_(id),
      name_(config.name),
      config_(config),
      model_(std::move(model)),
      bytes_(engine.sizes()),
      sequence_tokens_max_(longest_sequence(config, engine.config(), model_->info())),
      rules_(rules),
      clock_(clock),
      stats_(std::move(stats)),
      settings_(settings_of(config)) {}

void ExecutorFacts::count_requests(std::int32_t running, std::int32_t waiting) const {
  const std::int32_t was_running = stats_->running.exchange(running, std::memory_order_relaxed);
  const std::int32_t was_waiting = stats_->waiting.exchange(waiting, std::memory_order_relaxed);
  if (running != was_running || waiting != was_waiting) rules_.node->shown.count();
}

void ExecutorFacts::take_settings_of(const ExecutorConfig& config) {
  settings_ = settings_of(config);
  config_.with([&](ExecutorConfig& c) { take_settings(c, config); });
}

void ExecutorFacts::take_sizes_of(const ExecutorConfig& config, const Engine& engine) {
  bytes_.with([&](ExecutorBytes& b) { b = engine.sizes(); });
  sequence_tokens_max_.store(longest_sequence(config, engine.config(), model_->info()));
  config_.with([&](ExecutorConfig& c) { take_sizes(c, config); });
}

}  // namespace choir
