#include "serve/turn_blocks.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

namespace choir::serve {
namespace {

constexpr Nanos kBlockLength = std::chrono::milliseconds(5);
constexpr Nanos kGapMax = std::chrono::milliseconds(1);  // a longer one is seen
constexpr std::int64_t kBlocksPerSecond = 200;
constexpr std::int64_t kBlocksLeast = 50;

std::int64_t micros(Nanos time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

Instant end_of(const ComputedTurn& turn) { return turn.began + turn.length; }

bool goes_on(const TurnBlock& block, const ComputedTurn& turn) {
  return block.all.executor == turn.executor && block.all.priority == turn.priority &&
         block.all.threads == turn.threads && turn.began - block.all.began < kBlockLength &&
         turn.began - end_of(block.all) < kGapMax;
}

void append(TurnBlock& block, const ComputedTurn& turn) {
  block.all.length = end_of(turn) - block.all.began;
  block.all.prompt_tokens += turn.prompt_tokens;
  block.all.decode_rows += turn.decode_rows;
  ++block.turns;
}

Json row_of(const ComputedTurn& turn, int last) {
  return {micros(turn.began.since_start),
          micros(turn.length),
          turn.executor,
          turn.prompt_tokens,
          turn.decode_rows,
          to_string(turn.priority),
          last};
}

// `rows`: of one lane; it may change how many are missing.
template <class Rows>
Json lanes_of(const TurnsSince& turns, const std::vector<std::int32_t>& threads, const char* name,
              Rows rows) {
  Json lanes = Json::array();
  for (std::size_t lane = 0; lane < turns.lanes.size(); ++lane) {
    const LaneTurns& of = turns.lanes[lane];
    if (lane >= threads.size() && of.turns.empty() && of.missing == 0) continue;
    std::uint64_t missing = of.missing;
    Json made = rows(of.turns, missing);
    lanes.push_back({{"lane", lane},
                     {"threads", lane < threads.size() ? threads[lane] : 0},
                     {"missing", missing},
                     {name, std::move(made)}});
  }
  return {{"now_us", micros(turns.now.since_start)}, {"lanes", std::move(lanes)}};
}

}  // namespace

std::vector<TurnBlock> blocks_of(const std::vector<ComputedTurn>& turns, std::uint64_t& missing) {
  std::vector<TurnBlock> blocks;
  for (const ComputedTurn& turn : turns) {
    if (!blocks.empty() && goes_on(blocks.back(), turn))
      append(blocks.back(), turn);
    else
      blocks.push_back({turn, 1});
  }
  if (blocks.empty()) return blocks;
  const Nanos time = end_of(blocks.back().all) - blocks.front().all.began;
  const auto most =
      static_cast<std::size_t>(std::max(kBlocksLeast, micros(time) * kBlocksPerSecond / 1'000'000));
  if (blocks.size() > most) {
    const auto kept = blocks.end() - static_cast<std::ptrdiff_t>(most);
    for (auto block = blocks.begin(); block != kept; ++block)
      missing += static_cast<std::uint64_t>(block->turns);
    blocks.erase(blocks.begin(), kept);
  }
  return blocks;
}

Json turn_blocks(const TurnsSince& turns, const std::vector<std::int32_t>& threads) {
  return lanes_of(turns, threads, "blocks",
                  [](const std::vector<ComputedTurn>& all, std::uint64_t& missing) {
                    Json rows = Json::array();
                    for (const TurnBlock& block : blocks_of(all, missing)) {
                      Json row = row_of(block.all, block.turns);
                      row.push_back(block.all.threads);
                      row.push_back(static_cast<int>(block.all.reason));
                      rows.push_back(std::move(row));
                    }
                    return rows;
                  });
}

Json exact_turns(const TurnsSince& turns, const std::vector<std::int32_t>& threads) {
  return lanes_of(turns, threads, "turns",
                  [](const std::vector<ComputedTurn>& all, std::uint64_t& /*missing*/) {
                    Json rows = Json::array();
                    for (const ComputedTurn& turn : all) {
                      rows.push_back(row_of(turn, turn.threads));
                      rows.back().push_back(static_cast<int>(turn.reason));
                    }
                    return rows;
                  });
}

Json chrome_trace(const TurnsSince& turns) {
  Json events = Json::array();
  for (std::size_t lane = 0; lane < turns.lanes.size(); ++lane) {
    if (turns.lanes[lane].turns.empty()) continue;
    events.push_back({{"ph", "M"},
                      {"pid", 1},
                      {"tid", lane},
                      {"name", "thread_name"},
                      {"args", {{"name", "lane " + std::to_string(lane)}}}});
    for (const ComputedTurn& turn : turns.lanes[lane].turns)
      events.push_back({{"ph", "X"},
                        {"pid", 1},
                        {"tid", lane},
                        {"name", turn.executor},
                        {"ts", micros(turn.began.since_start)},
                        {"dur", micros(turn.length)},
                        {"args",
                         {{"prompt_rows", turn.prompt_tokens},
                          {"decode_rows", turn.decode_rows},
                          {"class", to_string(turn.priority)},
                          {"threads", turn.threads},
                          {"why", to_string(turn.reason)}}}});
  }
  return {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
}

TurnsSince between(TurnsSince turns, Instant from, Instant to) {
  for (LaneTurns& lane : turns.lanes)
    std::erase_if(lane.turns, [&](const ComputedTurn& turn) {
      return end_of(turn) <= from || turn.began >= to;
    });
  return turns;
}

}  // namespace choir::serve
