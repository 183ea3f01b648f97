// The batch plan: what one executor computes in its next forward pass, as values.
//
// Made by policy/step, carried out by engine/engine and runtime/executor; the only place where a
// batch is described.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "choir/ids.h"
#include "choir/units.h"

namespace choir {

// What the policy may see of a sequence. One row per live sequence, in any order.
struct SeqView {
  SeqId id;
  Priority priority = Priority::kNormal;  // after ageing
  const void* tenant = nullptr;           // which it is of; only compared
  double tenant_served = 0;          // what its tenant has had (policy/tenants.h); less goes first
  std::int32_t tenant_live = 0;      // the tenant's sequences; fewer go first within that
  Instant arrived;                   // earlier goes first within all that
  std::int32_t known_tokens = 0;     // >= 1; prompt plus sampled
  std::int32_t computed_tokens = 0;  // 0 .. known_tokens; also the KV cells it holds
  bool whole = false;                // an encoder's input: all of its tokens in one pass or none
  bool operator==(const SeqView&) const = default;

  std::int32_t pending_tokens() const { return known_tokens - computed_tokens; }
};

// The order in which prompts are read: the least goes first.
struct PromptRank {
  Priority priority = Priority::kNormal;
  double tenant_served = 0;
  std::int32_t tenant_live = 0;
  Instant arrived;
  SeqId id;
  auto operator<=>(const PromptRank&) const = default;
};

struct StepLimits {
  std::int32_t batch_tokens_max = 512;  // tokens of one pass; the engine's micro-batch
  std::int32_t chunk_tokens_max = 256;  // of prompts, in this pass; half as many more may end one
  std::int32_t kv_cells_free = 0;       // cells that no sequence holds
  std::int32_t slots_free = 0;          // sequences that may still get their first cell
  std::int32_t outputs_max = 256;       // most slices with `sample`; more aborts llama.cpp
  // Once the prompts of this pass have so many tokens together, no further one is placed.
  std::int32_t chunk_tokens_enough = std::numeric_limits<std::int32_t>::max();
  bool operator==(const StepLimits&) const = default;
};

// Tokens [begin, begin + count) of `seq` go into the batch, in this order.
struct Slice {
  SeqId seq;
  std::int32_t begin = 0;
  std::int32_t count = 0;
  bool sample = false;  // reaches the last known token, so its logits are wanted
  bool operator==(const Slice&) const = default;
};

struct StepPlan {
  std::vector<Slice> slices;     // sum of count <= batch_tokens_max; a sequence at most once
  std::vector<SeqId> preempted;  // these lose cells and slot before the pass; never in slices
  bool operator==(const StepPlan&) const = default;

  bool empty() const { return slices.empty() && preempted.empty(); }
  std::int32_t tokens() const {
    std::int32_t sum = 0;
    for (const Slice& slice : slices) sum += slice.count;
    return sum;
  }
};

}  // namespace choir
