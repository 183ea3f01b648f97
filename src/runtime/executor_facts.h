// What an executor is, how it is configured and what it has counted: what its parts and other
// threads ask of it.
//
// Any thread reads. Only whoever has the executor's turn counts and changes settings or sizes.
// Nothing here blocks for longer than a copy of the configuration.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/guarded.h"
#include "choir/config.h"
#include "choir/ids.h"
#include "core/executor_bytes.h"
#include "engine/engine.h"
#include "runtime/node_rules.h"
#include "runtime/observing.h"

namespace choir {

struct ExecutorRules {
  Nanos age_step = std::chrono::milliseconds(500);
  Nanos stalled = std::chrono::seconds(30);
  std::size_t stream_bytes_max = 64U << 10;
  std::size_t mailbox_max = 1024;
  bool adapt_threads = true;
  std::shared_ptr<NodeRules> node = std::make_shared<NodeRules>();
  const Observing* observing = nullptr;  // outlives the executor; null: nothing is told
};

// Counted by the turn's owner, read by any thread.
struct ExecutorStats {
  std::atomic<std::int32_t> running{0};
  std::atomic<std::int32_t> waiting{0};
  std::atomic<std::uint64_t> steps{0};
  std::atomic<std::uint64_t> prompt_tokens{0};
  std::atomic<std::uint64_t> output_tokens{0};
  std::atomic<std::uint64_t> requests_done{0};
  std::atomic<std::uint64_t> requests_failed{0};
  std::atomic<std::uint64_t> preemptions{0};
  std::atomic<std::uint64_t> aborts{0};
  std::atomic<std::uint64_t> reused_tokens{0};
  std::atomic<std::int32_t> cells{0};         // held by sequences and kept conversations
  std::atomic<std::int32_t> cached_cells{0};  // of ended requests; given up where room is needed
  std::atomic<double> seconds_per_prompt_token{0};  // as measured; 0: not known yet
  std::atomic<double> seconds_per_output_token{0};
  std::atomic<std::int32_t> threads{0};  // of its last pass
};

class ExecutorFacts {
 public:
  ExecutorFacts(const ExecutorFacts&) = delete;
  ExecutorFacts& operator=(const ExecutorFacts&) = delete;

  ExecutorId id() const { return id_; }
  const std::string& name() const { return name_; }
  ExecutorConfig config() const {
    return config_.with([](const ExecutorConfig& c) { return c; });
  }
  const Model& model() const { return *model_; }
  const std::shared_ptr<const Model>& shared_model() const { return model_; }
  ExecutorBytes bytes() const {
    return bytes_.with([](const ExecutorBytes& b) { return b; });
  }
  // The longest a single sequence can get: its cells, its configured most, and what the model was
  // trained for.
  std::int32_t sequence_tokens_max() const { return sequence_tokens_max_.load(); }
  const ExecutorRules& rules() const { return rules_; }
  const NodeRules& node() const { return *rules_.node; }
  const Clock& clock() const { return clock_; }
  const ExecutorStats& stats() const { return *stats_; }

  // From the next pass on.
  void suspend() { suspended_.store(true); }
  void resume() { suspended_.store(false); }
  bool suspended() const { return suspended_.load(); }

  // For the thread that has the turn:
  ExecutorStats& counters() const { return *stats_; }
  void count_requests(std::int32_t running, std::int32_t waiting) const;
  // What steps ask of the configuration, without its lock.
  struct Settings {
    Batching batching = Batching::kContinuous;
    bool prefix_cache = true;
    Priority priority = Priority::kNormal;
  };
  const Settings& settings() const { return settings_; }

 protected:
  ExecutorFacts(ExecutorId id, const ExecutorConfig& config, std::shared_ptr<const Model> model,
                const Engine& engine, const ExecutorRules& rules, const Clock& clock,
                std::shared_ptr<ExecutorStats> stats);
  ~ExecutorFacts() = default;

  // The settings of `config` (runtime/config_parts.h).
  void take_settings_of(const ExecutorConfig& config);
  // The sizes of `config`, which are those of `engine`.
  void take_sizes_of(const ExecutorConfig& config, const Engine& engine);
  static std::int32_t longest_sequence(const ExecutorConfig& config, const EngineConfig& engine,
                                       const ModelInfo& model);

 private:
  static Settings settings_of(const ExecutorConfig& config) {
    return {config.batching, config.prefix_cache, config.priority};
  }

  const ExecutorId id_;
  const std::string name_;
  Guarded<ExecutorConfig> config_;
  const std::shared_ptr<const Model> model_;
  Guarded<ExecutorBytes> bytes_;
  std::atomic<std::int32_t> sequence_tokens_max_;
  std::atomic<bool> suspended_{false};
  const ExecutorRules rules_;
  const Clock& clock_;
  const std::shared_ptr<ExecutorStats> stats_;
  Settings settings_;  // the turn's owner's
};

}  // namespace choir
