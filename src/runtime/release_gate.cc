#include "runtime/release_gate.h"

#include <algorithm>

#include "policy/turn.h"

namespace choir {

void ReleaseGate::open(std::int32_t sequences_max, Instant now) {
  const ExecutorRules& rules = facts_.rules();
  const bool one_request = rules.node->one_request.load();
  const RequestId turn_of = rules.node->turn_of.load();
  const bool stopped = facts_.suspended();
  std::int32_t fresh = 0;
  const Priority best = live_.best_class();
  // One of a better class has come: all that it holds back may have earned that class by now.
  if (one_request || best < best_seen_) live_.wake_all();
  best_seen_ = best;
  queue_open_ = !stopped;
  for (LiveSequence* live : live_.awake()) {
    // What waiting has earned stays: a sequence that fell back with its first slice would lose its
    // cells to the next one that has waited, and none would get to its end.
    // Only better classes hold it back: inside its own, where it may wait for long beside tenants
    // that had less, waiting earns nothing.
    const Priority earned = aged(live->value.priority, now - live->last_progress, rules.age_step);
    live->lifted = std::min(live->lifted, std::max(best, earned));
    live->held =
        live->held_back || live->gated || stopped || (one_request && live->request->id != turn_of);
    live->front = LiveSequence::Front::kOwn;
    if (!live->held && !live->released) ++fresh;
  }
  release_at_.reset();
  if (fresh > 0) release_fresh(sequences_max, now);
}

// Who has begun goes on in any case (policy/release.h); it is told here for company's sake.
void ReleaseGate::release_fresh(std::int32_t sequences_max, Instant now) {
  waits_.clear();
  for (LiveSequence* live : live_.awake()) {
    if (live->held) continue;
    waits_.push_back({.id = live->value.id,
                      .priority = live->class_now(facts_.node()),
                      .arrived = live->arrived,
                      .begun = live->released});
    live->held = true;
  }
  // Those that rest were let go of long ago; one row says so.
  const bool others = queue_may_begin();
  if (others) waits_.emplace_back().begun = true;
  release_at_ = plan_release(waits_,
                             {.batching = facts_.settings().batching,
                              .batch = sequences_max,
                              .fill = facts_.node().fill.load()},
                             now);
  if (others) waits_.pop_back();
  for (const WaitView& row : waits_) {
    if (!row.go) continue;
    LiveSequence& l = live_.at(row.id);
    l.released = true;
    l.held = false;
  }
}

// Where groups are made it matters which sequences begin together, and where one request runs at a
// time, which one that is. A prompt of one token may start where longer ones may not (outputs_max),
// so it is no measure for those behind it.
bool ReleaseGate::may_wait_for_room(const LiveSequence& l) const {
  return facts_.settings().batching == Batching::kContinuous && !facts_.node().one_request.load() &&
         l.released && !l.held && !l.ended && l.kv.empty() &&
         l.front == LiveSequence::Front::kOwn && l.value.known_tokens() > 1;
}

void ReleaseGate::close(TurnResult& result) {
  const bool stopped = facts_.suspended();
  if (release_at_) result.add_alarm(*release_at_);
  to_rest_.clear();
  for (LiveSequence* l : live_.awake()) {
    if (l->computed == 0 && (l->held_back || may_wait_for_room(*l)))
      to_rest_.push_back(rest_of(*l));
    if (l->request->deadline != Instant{}) result.add_alarm(l->request->deadline);
    if (l->held_back) {
      result.add_alarm(*l->held_back + facts_.rules().stalled);
      continue;
    }
    // Where a sequence has ended, one that was held may begin: the next turn will tell.
    if (l->gated || (l->held && !live_.some_left()) || stopped) continue;
    result.add_work(l->value.priority);
  }
  const Waiting& waiting = live_.waiting();
  if (const auto end = waiting.first_end()) result.add_alarm(*end);
  if (waiting.queued() > 0 && queue_open_ && !stopped) result.add_work(waiting.best_own());
  live_.rest(to_rest_);
}

LiveSet::Rest ReleaseGate::rest_of(LiveSequence& l) const {
  Waiting::Times times{.look_at = l.request->deadline, .ends_at = l.request->deadline};
  const auto earlier = [](Instant& time, Instant at) {
    if (time == Instant{} || at < time) time = at;
  };
  const ExecutorRules& rules = facts_.rules();
  if (l.held_back) {
    earlier(times.look_at, *l.held_back + rules.stalled);
    earlier(times.ends_at, *l.held_back + rules.stalled);
    // For long, perhaps: it keeps what it has and no more.
    l.value.tokens.shrink_to_fit();
    l.request->trim();
  }
  // A better class that has come wakes all, see open().
  if (l.lifted > best_seen_ && rules.age_step > Nanos{0}) {
    const auto lifts = static_cast<int>(l.value.priority) - static_cast<int>(l.lifted) + 1;
    earlier(times.look_at, l.last_progress + lifts * rules.age_step);
  }
  return {&l, l.held_back ? Waiting::For::kReader : Waiting::For::kRoom, times};
}

}  // namespace choir
