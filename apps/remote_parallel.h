// The sessions of `choir parallel --host`: the daemon runs them, and the report is the same.
#pragma once

#include <atomic>
#include <functional>

#include "choir/parallel_evaluation.h"
#include "remote.h"

namespace choir::app {

// Blocks until all sessions have ended, or soon after `cancelled` is true. The models' names are
// those of the daemon in `executors`, one for each model of `config`. Without config.prefix_cache
// no session finds KV state of another one, or of before. Progress is told on this thread.
Result<EvaluationReport> run_there(const RemoteDaemon& daemon, const ParallelConfig& config,
                                   const std::vector<std::string>& executors,
                                   ParallelEvaluation::Order order,
                                   const std::function<void(const SessionProgress&)>& progress,
                                   const std::atomic<bool>& cancelled);

}  // namespace choir::app
