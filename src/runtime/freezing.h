// From what an executor has to values that can be sent (core/frozen_executor.h), and back.
//
// Pure but for the requests' own texts to embed, which go along. Needs: no lane has the sequence or
// the request, and no other thread uses them.
#pragma once

#include <memory>

#include "base/clock.h"
#include "core/frozen_executor.h"
#include "policy/hold.h"
#include "runtime/executor_facts.h"
#include "runtime/live_sequence.h"
#include "runtime/request_state.h"

namespace choir {

// Needs: its KV state is parked (Executor::extract()).
FrozenSequence freeze(LiveSequence&& live, Instant now);
// For Executor::adopt(). Needs: `request` is that of the sequence.
std::unique_ptr<LiveSequence> thaw(FrozenSequence&& frozen, std::shared_ptr<RequestState> request,
                                   Instant now);

// Of a request with EmbedWork.
FrozenEmbedding freeze_embedding(RequestState& request);
void thaw_embedding(FrozenEmbedding&& frozen, RequestState& request);

// Who holds the executor in memory.
void freeze_holds(const Hold& hold, Instant now, FrozenExecutor& frozen);
Hold thaw_holds(const FrozenExecutor& frozen, Instant now);

// What was counted: as a value, and added to what is counted elsewhere.
FrozenCounts freeze(const ExecutorStats& stats, double compute_seconds);
void add(const FrozenCounts& counts, ExecutorStats& stats);

}  // namespace choir
