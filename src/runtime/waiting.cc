#include "runtime/waiting.h"

#include <algorithm>

#include "base/check.h"
#include "core/step_plan.h"

namespace choir {

void Waiting::put(LiveSequence& live, For what, const Times& times) {
  CHOIR_CHECK(!live.waits && live.computed == 0, "who rests holds no cells");
  live.waits = LiveSequence::Waits{
      .queued = what == For::kRoom, .look_at = times.look_at, .ends_at = times.ends_at};
  ++size_;
  if (times.look_at != Instant{}) look_at_.emplace(times.look_at, &live);
  if (times.ends_at != Instant{}) ends_at_.insert(times.ends_at);
  if (!live.waits->queued) return;
  ++queued_;
  cells_ += live.value.known_tokens();
  own_.add(live.value.priority);
  groups_[{live.lifted, live.tenant}].insert(&live);
}

void Waiting::take(LiveSequence& live) {
  CHOIR_CHECK(live.waits.has_value(), "it rests");
  const LiveSequence::Waits waits = *live.waits;
  live.waits.reset();
  --size_;
  if (waits.look_at != Instant{}) look_at_.erase({waits.look_at, &live});
  if (waits.ends_at != Instant{}) ends_at_.erase(ends_at_.find(waits.ends_at));
  if (!waits.queued) return;
  --queued_;
  cells_ -= live.value.known_tokens();
  own_.remove(live.value.priority);
  const auto group = groups_.find({live.lifted, live.tenant});
  group->second.erase(&live);
  if (group->second.empty()) groups_.erase(group);
}

Priority Waiting::best_own() const {
  CHOIR_CHECK(queued_ > 0, "somebody waits for room");
  return own_.best();
}

void Waiting::first(KvUse room, bool classes, const Tenants& tenants,
                    std::vector<LiveSequence*>& first) const {
  first.clear();
  // The heads of the groups, and what is behind them, merged in the order of policy/step.
  struct Line {
    Priority priority;
    double served;
    std::int32_t live;
    Group::const_iterator at;
    Group::const_iterator end;
  };
  const auto rank_of = [](const Line& line) {
    const LiveSequence& head = **line.at;
    return PromptRank{line.priority, line.served, line.live, head.arrived, head.value.id};
  };
  const auto later = [&](const Line& a, const Line& b) { return rank_of(a) > rank_of(b); };
  std::vector<Line> lines;
  lines.reserve(groups_.size());
  for (const auto& [key, group] : groups_) {
    const Priority priority = classes ? key.first : Priority::kNormal;
    lines.push_back({priority, tenants.level(*key.second, priority), key.second->live(),
                     group.begin(), group.end()});
  }
  std::ranges::make_heap(lines, later);
  while (!lines.empty()) {
    std::ranges::pop_heap(lines, later);
    Line& line = lines.back();
    LiveSequence& next = **line.at;
    first.push_back(&next);
    if (--room.slots < 0 || (room.cells -= next.value.known_tokens()) < 0) return;
    if (++line.at == line.end)
      lines.pop_back();
    else
      std::ranges::push_heap(lines, later);
  }
}

void Waiting::count_wanting(bool classes, Tenants& tenants) const {
  for (const auto& [key, group] : groups_)
    tenants.wanted(*key.second, classes ? key.first : Priority::kNormal);
}

}  // namespace choir
