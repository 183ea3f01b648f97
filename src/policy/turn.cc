#include "policy/turn.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/check.h"

namespace choir {
namespace {

constexpr double kTurnSecondsMin = 1e-6;

// Only within a timeline do virtual seconds mean something.
bool goes_before(const ExecutorView& a, const ExecutorView& b) {
  return std::tie(a.virtual_seconds, a.waiting_since, a.id) <
         std::tie(b.virtual_seconds, b.waiting_since, b.id);
}

}  // namespace

std::size_t timeline(Priority priority, const TurnRules& rules) {
  return rules.classes ? static_cast<std::size_t>(priority) : 0;
}

std::optional<ExecutorId> next_turn(std::span<const ExecutorView> runnable, Instant now,
                                    const TurnRules& rules) {
  std::array<const ExecutorView*, kTimelines> heads{};
  for (const ExecutorView& view : runnable) {
    const ExecutorView*& head = heads.at(timeline(view.priority, rules));
    if (head == nullptr || goes_before(view, *head)) head = &view;
  }

  const ExecutorView* best = nullptr;
  auto rank = [&](const ExecutorView& view) {
    return std::tuple(aged(view.priority, now - view.waiting_since, rules.age_step),
                      view.waiting_since, view.id);
  };
  for (const ExecutorView* head : heads)
    if (head != nullptr && (best == nullptr || rank(*head) < rank(*best))) best = head;
  if (best == nullptr) return std::nullopt;
  return best->id;
}

TurnReason reason_of(std::span<const ExecutorView> runnable, ExecutorId chosen,
                     const TurnRules& rules) {
  if (runnable.size() < 2) return TurnReason::kAlone;
  const auto self = std::ranges::find(runnable, chosen, &ExecutorView::id);
  CHOIR_CHECK(self != runnable.end(), "the chosen one is among those that can run");
  const std::size_t own = timeline(self->priority, rules);
  TurnReason reason = TurnReason::kClass;
  for (const ExecutorView& view : runnable) {
    if (view.id == chosen) continue;
    const std::size_t other = timeline(view.priority, rules);
    if (other < own) return TurnReason::kWaited;
    if (other == own) reason = TurnReason::kShares;
  }
  return reason;
}

double charge(double virtual_seconds, Nanos elapsed, int cores, double shares) {
  CHOIR_CHECK(cores >= 1, "a lane has at least one core");
  CHOIR_CHECK(shares > 0, "shares divide");
  return virtual_seconds + std::max(to_seconds(elapsed), kTurnSecondsMin) * cores / shares;
}

double wake(double virtual_seconds, double floor, const TurnRules& rules) {
  return std::clamp(virtual_seconds, floor - rules.credit_seconds_max,
                    floor + rules.debt_seconds_max);
}

}  // namespace choir
