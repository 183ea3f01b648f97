#include "serve/turns_seen.h"

#include <algorithm>
#include <utility>

#include "serve/turn_blocks.h"

namespace choir::serve {
namespace {

std::string data_of(TurnsSince turns, const Node& node, Nanos ago) {
  const Instant from{turns.now.since_start - ago};
  Json data = turn_blocks(between(std::move(turns), from, {Nanos::max()}), node.info().lanes);
  data["topic"] = "turns";
  return to_text(data);
}

}  // namespace

std::string TurnsSeen::fresh(const Node& node, Nanos most) {
  const bool first = next_.empty();
  TurnsSince turns = node.turns(next_);
  next_.clear();
  for (const LaneTurns& lane : turns.lanes) next_.push_back(lane.next);
  const bool any = std::ranges::any_of(
      turns.lanes, [](const LaneTurns& lane) { return !lane.turns.empty() || lane.missing > 0; });
  return any && !first ? data_of(std::move(turns), node, most) : std::string();
}

std::string TurnsSeen::last(const Node& node, Nanos ago) const {
  TurnsSince turns = node.turns();
  for (std::size_t i = 0; i < turns.lanes.size(); ++i) {
    LaneTurns& lane = turns.lanes[i];
    lane.missing = 0;
    const std::uint64_t untold = lane.next - next_.at(i);
    lane.turns.resize(lane.turns.size() - std::min<std::uint64_t>(untold, lane.turns.size()));
  }
  return data_of(std::move(turns), node, ago);
}

}  // namespace choir::serve
