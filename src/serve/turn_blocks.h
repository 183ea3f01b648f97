// Turns of the lanes as those who watch read them. Pure; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "choir/turns.h"
#include "serve/json_in.h"

namespace choir::serve {

// Some turns of one model and class, one after the other, as one.
struct TurnBlock {
  ComputedTurn all;  // from the first to the end of the last; rows of all together
  int turns = 0;
};

// Neighbours of one model are put together until they are 5 ms long, so that a lane has at most
// some 200 blocks a second. Where many models take short turns there would be more: then the oldest
// are counted in LaneTurns::missing.
std::vector<TurnBlock> blocks_of(const std::vector<ComputedTurn>& turns, std::uint64_t& missing);

// {"now_us", "lanes": [{"lane", "threads", "missing", "blocks": [[begin_us, length_us, model,
// prompt_rows, decode_rows, class, turns, threads, why]]}]}: the lanes that have turns, or are in
// `threads`, which has the number of threads of each lane. Times are since the process began.
// `why`: the number of the TurnReason, of the first of the block's turns.
Json turn_blocks(const TurnsSince& turns, const std::vector<std::int32_t>& threads);
// The same without putting any together: "turns": [[begin_us, length_us, model, prompt_rows,
// decode_rows, class, threads, why]].
Json exact_turns(const TurnsSince& turns, const std::vector<std::int32_t>& threads);
// For viewers of Chrome's trace format, such as Perfetto: a thread for each lane.
Json chrome_trace(const TurnsSince& turns);

// Those that end after `from` and begin before `to`.
TurnsSince between(TurnsSince turns, Instant from, Instant to);

}  // namespace choir::serve
