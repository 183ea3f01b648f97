// Sequences that begin the same share the cells of what they have in common (policy/share.h), and
// one that goes on with a conversation takes over what that has.
//
// Owned by an executor and used by the thread that has its turn.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/step_plan.h"
#include "policy/share.h"
#include "runtime/executor_facts.h"
#include "runtime/executor_memory.h"
#include "runtime/live_set.h"

namespace choir {

class FrontSharing {
 public:
  FrontSharing(const ExecutorFacts& facts, ExecutorMemory& memory, LiveSet& live)
      : facts_(facts), memory_(memory), live_(live) {}

  // A sequence that comes: the cells of its conversation, or `kv`, become its own as far as the
  // tokens are the same. At least one token is computed, for its logits.
  void reuse(LiveSequence& live, KvState kv);

  // A turn: no sequence stands back yet.
  void begin_turn() { standing_back_.clear(); }
  // Gives sequences that the plan starts the cells of others that begin the same, and takes those
  // out that had better wait for such cells. True when that changes the plan. `queue`: sequences
  // that wait for room may begin.
  enum class MayWait : std::uint8_t { kYes, kNo };
  bool share(const StepPlan& plan, bool queue, MayWait may_wait);
  // No sequence stands back any more. False: none did.
  bool stand_forward();
  // Those that stand back wait for cells that others compute in this pass.
  std::span<LiveSequence* const> standing_back() const { return standing_back_; }

 private:
  // The sequences that have cells or get some in this pass, into sources_; those that begin in it
  // are not there yet.
  void find_sources(std::span<const Slice> slices);
  FrontSource source(const LiveSequence& live, std::int32_t cells_after) const;
  FrontChoice choose(const LiveSequence& live, std::int32_t slice_tokens, MayWait may_wait) const;
  // Whether others have clearly more in common with it than `same` tokens.
  bool better_elsewhere(const LiveSequence& live, std::int32_t same);
  // How many tokens it got; where the engine gives none it computes all of them.
  std::int32_t take_front(LiveSequence& live, SeqId from, std::int32_t tokens);

  const ExecutorFacts& facts_;
  ExecutorMemory& memory_;
  LiveSet& live_;
  std::vector<FrontSource> sources_;          // reused from step to step
  std::vector<LiveSequence*> standing_back_;  // in this turn
};

}  // namespace choir
