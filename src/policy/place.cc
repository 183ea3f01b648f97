#include "policy/place.h"

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <tuple>
#include <vector>

#include "base/check.h"

namespace choir {
namespace {

// Those that wait, in the order in which they begin.
std::vector<const PlaceView*> queue_of(std::span<const PlaceView> rows) {
  std::vector<const PlaceView*> waiting;
  for (const PlaceView& row : rows)
    if (!row.begun) waiting.push_back(&row);
  std::ranges::sort(waiting, {}, [](const PlaceView* row) {
    return std::tuple(row->priority, row->arrived, row->id);
  });
  struct Ranked {
    std::tuple<Priority, std::int32_t, Instant, RequestId> rank;
    const PlaceView* row;
  };
  std::map<std::pair<Priority, std::string_view>, std::int32_t> turns;
  std::vector<Ranked> ranked;
  ranked.reserve(waiting.size());
  for (const PlaceView* row : waiting) {
    const std::int32_t turn = turns[{row->priority, row->tenant}]++;
    ranked.push_back({{row->priority, turn, row->arrived, row->id}, row});
  }
  std::ranges::sort(ranked, {}, &Ranked::rank);
  std::ranges::transform(ranked, waiting.begin(), &Ranked::row);
  return waiting;
}

// When the request behind `ahead` gets a slot: those in slots share the compute evenly. `served` is
// how much each of them has had since the beginning.
double seconds_until(std::span<const PlaceView> rows, std::span<const PlaceView* const> ahead,
                     std::size_t slots) {
  std::priority_queue<double, std::vector<double>, std::greater<>> ends;  // in terms of `served`
  for (const PlaceView& row : rows)
    if (row.begun) ends.push(row.seconds_left);
  double served = 0;
  double now = 0;
  std::size_t next = 0;
  for (;;) {
    while (ends.size() < slots) {
      if (next == ahead.size()) return now;
      ends.push(served + ahead[next++]->seconds_left);
    }
    now += (ends.top() - served) * static_cast<double>(ends.size());
    served = ends.top();
    ends.pop();
  }
}

}  // namespace

Sight sight_of(const SightView& r) {
  using enum RequestPhase;
  if (r.ended) return {kEnding, WaitsFor::kNothing};
  if (!r.loaded) return {kLoading, WaitsFor::kLoad};
  if (r.awaited)
    return {kWaiting, r.prompt_tokens == 0 ? WaitsFor::kEarlierTurn : WaitsFor::kCompany};
  if (r.suspended) return {kSuspended, WaitsFor::kResume};
  if (r.reader_behind) return {kReaderBehind, WaitsFor::kReader};
  const auto unless_other = [&](WaitsFor what) {
    return r.others_turn ? WaitsFor::kOtherRequest : what;
  };
  if (r.parked) return {kParked, unless_other(WaitsFor::kCells)};
  if (r.computed == 0) {
    const WaitsFor room = r.slots_full                          ? WaitsFor::kSlot
                          : r.batching != Batching::kContinuous ? WaitsFor::kBatch
                                                                : WaitsFor::kTurn;
    return {kWaiting, unless_other(room)};
  }
  return {r.computed < r.prompt_tokens ? kPrefill : kDecode, unless_other(WaitsFor::kNothing)};
}

QueuePlace place_of(std::span<const PlaceView> rows, RequestId id, std::int32_t slots) {
  const auto self = std::ranges::find(rows, id, &PlaceView::id);
  CHOIR_CHECK(self != rows.end() && slots >= 1, "a request is among those of its executor");
  if (self->begun) return {.ahead = 0, .seconds = 0.0};
  const std::vector<const PlaceView*> queue = queue_of(rows);
  const auto at = std::ranges::find(queue, id, &PlaceView::id) - queue.begin();
  const auto ahead = std::span(queue).first(static_cast<std::size_t>(at));
  return {.ahead = static_cast<std::int32_t>(at),
          .seconds = seconds_until(rows, ahead, static_cast<std::size_t>(slots))};
}

}  // namespace choir
