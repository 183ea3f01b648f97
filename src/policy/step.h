// Decides what one executor computes in its next forward pass: continuous batching with chunked
// prefill.
//
// There are no prefill and decode phases. A sequence has `known` tokens (prompt plus what was
// sampled) and `computed` tokens (those with a KV cell). The distance between the two is work. A
// holder (a sequence with cells, so with a slot) that is one token behind is what others call
// decoding; every other sequence with work is called a prompt here.
//
// Pure: no clock, no lock, no log. Safe to call from any thread, on a copy, in a loop, in a test
// without a model. Idea: Orca (continuous batching), Sarathi (chunked prefill), vLLM (preemption).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/step_plan.h"

namespace choir {

// Reused between calls so that planning does not allocate in the steady state.
struct StepScratch {
  std::vector<SeqView> rows;           // best rank first
  std::vector<std::uint32_t> prompts;  // indices into rows, in the order in which they are read
};

// Writes the plan for the next pass.
//
//   0. While a CRITICAL prompt is pending, only CRITICAL sequences are placed: its first token
//      does not wait for the decode of another. Ageing lifts others to CRITICAL, so none starves.
//      While a prompt is pending whose tenant has had no more than the others, no sequence of
//      another tenant and of its class is placed: a tenant that asks little gets its first tokens
//      nearly as fast as if the others asked little, too. What it computes is counted, so their
//      turn comes in the next pass or soon after it.
//   1. Decodes go first, best rank first. One that finds no cell takes the cells of the
//      worst-ranked holder behind it.
//   2. What is left of the batch goes to prompts, those of the least served tenant of each class
//      first, together at most chunk_tokens_max tokens, or half as many more where that ends a
//      prompt; none begins once they have chunk_tokens_enough. (A `whole` sequence goes entirely or
//      not at all, and counts against the batch only.) A holder that finds no cell takes those of
//      the worst-ranked holder of a strictly worse class. A prompt without cells starts only when
//      there is a free slot and room for all of its known tokens beside those that the holders
//      still lack: a prompt that starts without would lose its cells to the next decode, again and
//      again. It makes room at the expense of strictly worse classes if that is enough; if not,
//      none behind it starts either, so that room gathers.
//   3. If work is pending and nothing was placed, one holder is preempted (the worst-ranked; those
//      without work first), so successive calls never all stand still.
//
// Rank is (priority, arrival, id); prompts are read by (priority, tenant_served, tenant_live,
// arrival, id). Both are total, so the answer does not depend on input order. Tenants that have had
// as much are common, since one that comes starts level with the others: then one with few
// sequences does not wait for the prompts of one with many. Which sequence keeps cells must not
// depend on its tenant: tenant_served changes at every pass, and two tenants would take each
// other's cells forever.
//
// An empty plan means that nothing is pending or, if something is, that cells or slots are held by
// none of `seqs` (kept conversations): the caller frees some.
//
// Needs: all cells hold the largest single sequence, batch_tokens_max the largest `whole` one and
// one token for each slot (admission guarantees it). Ageing never goes back while a sequence lives.
// The maxima in `limits` are at least 1.
// Cost: O(n log n); at most 5 us with 64 sequences (bench/scheduler).
void plan_step(std::span<const SeqView> seqs, const StepLimits& limits, StepScratch& scratch,
               StepPlan& plan);

// The same as a value, for tests and callers that do not mind the allocation.
StepPlan plan_step(std::span<const SeqView> seqs, const StepLimits& limits);

}  // namespace choir
