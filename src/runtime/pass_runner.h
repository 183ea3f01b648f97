// Carries out a plan: one forward pass, the sampling of its rows on the lane's threads, and what
// both count.
//
// Owned by an executor and used by the thread that has its turn. Its vectors are reused from step
// to step.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/step_plan.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "runtime/answers.h"
#include "runtime/executor_facts.h"
#include "runtime/executor_memory.h"
#include "runtime/live_set.h"
#include "runtime/pass_control.h"
#include "runtime/pass_speeds.h"
#include "runtime/step_planner.h"
#include "runtime/turn_result.h"

namespace choir {

class PassRunner {
 public:
  struct Parts {
    const ExecutorFacts& facts;
    ExecutorMemory& memory;
    LiveSet& live;
    StepPlanner& planner;
    PassControl& control;
    PassSpeeds& speeds;
    Answers& answers;
  };
  explicit PassRunner(const Parts& parts);
  PassRunner(const PassRunner&) = delete;  // its sampling function names it
  PassRunner& operator=(const PassRunner&) = delete;

  // On as many of the lane's threads as are best for it. Needs: the planner's plan has slices.
  ComputedRows compute(const StepPlan& plan, Pool& lane);

 private:
  struct Row {
    LiveSequence* live = nullptr;
    std::size_t slice = 0;
    std::optional<TokenId> token;
    bool threw = false;  // drawing it did
  };

  bool run_pass(const StepPlan& plan, Pool& pool);
  void find_slices(const StepPlan& plan);
  void count_pass(const StepPlan& plan, int threads, Instant began, Instant ended);
  void count_tenants(const StepPlan& plan);
  // `began`: the pass whose logits these are.
  void sample_rows(const StepPlan& plan, Pool& pool, Instant began);
  // To the observer, where there is one.
  void tell_step(const StepPlan& plan, Instant began);

  const Parts p_;
  ComputedRows computed_;                     // of the last pass
  std::vector<LiveSequence*> slice_live_;     // of the plan's slices
  std::vector<const RequestState*> prompts_;  // of those, with more than one token
  std::vector<std::span<const TokenId>> slice_tokens_;
  std::vector<Row> rows_;
  std::vector<StepDone::Part> parts_;            // of the step that is told
  std::vector<SamplerScratch> sampler_scratch_;  // by thread
  std::function<void(int, int)> sample_row_;
};

}  // namespace choir
