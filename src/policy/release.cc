#include "policy/release.h"

#include <algorithm>
#include <tuple>

namespace choir {
namespace {

bool ranks_before(const WaitView& a, const WaitView& b) {
  return std::tie(a.priority, a.arrived, a.id) < std::tie(b.priority, b.arrived, b.id);
}

// How long the fresh ones may wait for company; 0: not at all.
Nanos patience(const ReleaseRules& rules, std::int32_t fresh, bool any_begun) {
  switch (rules.batching) {
    case Batching::kCollect:
      return rules.collect;
    case Batching::kCollectBusy:
      if (2 * fresh > rules.batch) return rules.collect;
      [[fallthrough]];
    case Batching::kContinuous:  // beside what runs, a sequence that joins costs no pass of its own
      return any_begun ? Nanos{0} : rules.fill;
    case Batching::kOneAtATime:
      break;
  }
  return Nanos{0};
}

}  // namespace

std::optional<Instant> plan_release(std::span<WaitView> rows, const ReleaseRules& rules,
                                    Instant now) {
  std::int32_t fresh = 0;
  WaitView* best = nullptr;
  Instant oldest;
  for (WaitView& row : rows) {
    row.go = row.begun;
    if (row.begun) continue;
    oldest = fresh == 0 ? row.arrived : std::min(oldest, row.arrived);
    ++fresh;
    if (best == nullptr || ranks_before(row, *best)) best = &row;
  }
  if (best == nullptr) return std::nullopt;
  const bool any_begun = fresh < static_cast<std::int32_t>(rows.size());
  if (rules.batching == Batching::kOneAtATime) {
    best->go = !any_begun;
    return std::nullopt;
  }
  const Instant over = oldest + patience(rules, fresh, any_begun);
  if (fresh < rules.batch && now < over) return over;
  for (WaitView& row : rows) row.go = true;
  return std::nullopt;
}

}  // namespace choir
