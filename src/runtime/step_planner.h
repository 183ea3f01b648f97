// Plans an executor's next forward pass: shows policy/step what may compute, and makes what it
// decides possible in memory, until nothing changes the plan any more.
//
// Owned by an executor and used by the thread that has its turn. Its vectors are reused from step
// to step.
#pragma once

#include <cstdint>
#include <vector>

#include "core/step_plan.h"
#include "policy/step.h"
#include "runtime/executor_facts.h"
#include "runtime/executor_memory.h"
#include "runtime/front_sharing.h"
#include "runtime/live_set.h"
#include "runtime/pass_control.h"
#include "runtime/pass_speeds.h"
#include "runtime/release_gate.h"

namespace choir {

class StepPlanner {
 public:
  struct Parts {
    const ExecutorFacts& facts;
    ExecutorMemory& memory;
    LiveSet& live;
    const ReleaseGate& gate;
    FrontSharing& sharing;
    const PassSpeeds& speeds;
    const PassControl& control;
  };
  explicit StepPlanner(const Parts& parts) : p_(parts) {}

  // For a lane of so many threads; `contended`: another executor waits for it. Those that the plan
  // starts are awake; those that it preempts have lost their cells. Needs: the gate is open.
  const StepPlan& plan(int threads, bool contended);
  // After the pass: tells the tenants that it left wanting more, and that those that stood back
  // were not passed over.
  void count_wanting();
  void count_standing_back(Instant ended);

 private:
  // Where a second tenant was there within so many passes, it is expected again: passes stay short
  // enough that its prompt would not wait long, as beside other executors, and one that has read
  // prompts for so long takes no further prompt.
  static constexpr int kPassesOfOneTenant = 2000;
  static constexpr Nanos kQuantumOfTenants = std::chrono::milliseconds(20);

  struct Wanted {  // by views_
    std::int32_t cells = 0;
    std::int32_t slots = 0;
    std::int32_t decodes = 0;               // rows that hold cells and lack one token
    std::int32_t awake_cells = 0;           // without those that rest
    Priority best_prompt = Priority::kLow;  // of rows that are no decodes
    Priority worst_holder = Priority::kCritical;
  };

  void make_views();
  SeqView view(const LiveSequence& live) const;
  StepLimits limits(int threads, bool contended) const;
  // Rows of those in the queue that the plan may start; the plan is the same without the others.
  void add_candidates();
  void wake_who_starts();
  bool share_fronts(FrontSharing::MayWait may_wait);

  const Parts p_;
  std::vector<SeqView> views_;
  Wanted wanted_;
  std::vector<LiveSequence*> candidates_;          // in views_, and they rest
  bool woken_for_plan_ = false;                    // candidates have begun in this turn
  int passes_of_one_tenant_ = kPassesOfOneTenant;  // since there were several, counted to there
  StepScratch scratch_;
  StepPlan plan_;
};

}  // namespace choir
