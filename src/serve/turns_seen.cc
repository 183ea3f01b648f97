#include "serve/turns_seen.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "serve/turn_blocks.h"

namespace choir::serve {
namespace {

std::string data_of(TurnsSince turns, const Node& node, Instant from) {
  Json data = turn_blocks(between(std::move(turns), from, {Nanos::max()}), node.info().lanes);
  data["topic"] = "turns";
  data["from_us"] = std::chrono::duration_cast<std::chrono::microseconds>(from.since_start).count();
  return to_text(data);
}

bool has_before(const TurnsSince& turns, Instant from) {
  return std::ranges::any_of(turns.lanes, [from](const LaneTurns& lane) {
    return !lane.turns.empty() && lane.turns.front().began < from;
  });
}

}  // namespace

std::string TurnsSeen::fresh(const Node& node, Nanos most) {
  const bool first = next_.empty();
  TurnsSince turns = node.turns(next_);
  next_.clear();
  for (const LaneTurns& lane : turns.lanes) next_.push_back(lane.next);
  const bool any = std::ranges::any_of(
      turns.lanes, [](const LaneTurns& lane) { return !lane.turns.empty() || lane.missing > 0; });
  if (!any && !first) return {};
  Instant from = std::exchange(told_until_, turns.now);
  if (first) return {};
  const Instant oldest{turns.now.since_start - most};
  if (from < oldest && has_before(turns, oldest)) from = oldest;
  return data_of(std::move(turns), node, from);
}

std::string TurnsSeen::last(const Node& node, Nanos ago) const {
  TurnsSince turns = node.turns();
  for (std::size_t i = 0; i < turns.lanes.size(); ++i) {
    LaneTurns& lane = turns.lanes[i];
    lane.missing = 0;
    const std::uint64_t untold = lane.next - next_.at(i);
    lane.turns.resize(lane.turns.size() - std::min<std::uint64_t>(untold, lane.turns.size()));
  }
  const Instant from{std::max(turns.now.since_start - ago, Nanos{0})};
  return data_of(std::move(turns), node, from);
}

}  // namespace choir::serve
