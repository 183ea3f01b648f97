// What random calls are made with, and what callbacks do on their own.
#pragma once

#include <string>
#include <vector>

#include "tests/parallel_random/calls.h"

namespace choir::parallel {

using System = GlobalParallelLLMExecutionSystem;
inline System& system_of_all() { return System::getInstance(); }

extern const std::vector<std::string> kIds, kNodes, kContexts, kPolicies, kStrategies;

LLMExecutionConfig config(Actor& a, const std::string& id);
// `waited`: somebody will wait for the answer, in this thread.
LLMExecutionRequest request(Actor& a, bool waited);
std::vector<LLMExecutionRequest> requests(Actor& a);
LLMExecutionContext context(Actor& a);
// Null: there is none.
Executor any_executor(Actor& a);
// Makes a call of its own now and then.
TokenCallback callback(Stage& stage);

}  // namespace choir::parallel
