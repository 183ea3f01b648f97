// Sequences that do not compute: those that may not yet begin (policy/release.h), and those that
// rest, so that steps do not walk through them (runtime/waiting.h).
#include <algorithm>

#include "runtime/executor.h"

namespace choir {
namespace {

// What a slow reader may leave by default, and the token that is one too many.
constexpr std::size_t kTextReserved = (64U << 10U) + 1024;

}  // namespace

void Executor::release(Instant now) {
  const bool one_request = rules_.node->one_request.load();
  const RequestId turn_of = rules_.node->turn_of.load();
  const bool stopped = suspended();
  std::int32_t fresh = 0;
  const Priority best = of_class_.best();  // without what waiting has earned
  standing_back_.clear();
  woken_for_plan_ = false;
  // One of a better class has come: all that it holds back may have earned that class by now.
  if (one_request || best < best_seen_) wake_all();
  best_seen_ = best;
  queue_open_ = !stopped;
  for (LiveSequence* live : awake_) {
    // What waiting has earned stays: a sequence that fell back with its first slice would lose its
    // cells to the next one that has waited, and none would get to its end.
    // Only better classes hold it back: inside its own, where it may wait for long beside tenants
    // that had less, waiting earns nothing.
    const Priority earned = aged(live->value.priority, now - live->last_progress, rules_.age_step);
    live->lifted = std::min(live->lifted, std::max(best, earned));
    live->held = live->held_back || live->awaited || live->gated || stopped ||
                 (one_request && live->request->id != turn_of);
    live->front = LiveSequence::Front::kOwn;
    if (!live->held && !live->released) ++fresh;
  }
  release_at_.reset();
  if (fresh > 0) release_fresh(now);
}

// Who has begun goes on in any case (policy/release.h); it is told here for company's sake.
void Executor::release_fresh(Instant now) {
  waits_.clear();
  for (LiveSequence* live : awake_) {
    if (live->held) continue;
    waits_.push_back({.id = live->value.id,
                      .priority = class_of(*live),
                      .arrived = live->arrived,
                      .begun = live->released});
    live->held = true;
  }
  // Those that rest were let go of long ago; one row says so.
  const bool others = queue_open_ && waiting_.queued() > 0;
  if (others) waits_.emplace_back().begun = true;
  release_at_ = plan_release(waits_,
                             {.batching = batching_,
                              .batch = engine_->config().sequences_max,
                              .fill = rules_.node->fill.load()},
                             now);
  if (others) waits_.pop_back();
  for (const WaitView& row : waits_) {
    if (!row.go) continue;
    LiveSequence& l = live(row.id);
    l.released = true;
    l.held = false;
  }
}

void Executor::reserve(LiveSequence& l) const {
  const auto tokens = static_cast<std::size_t>(l.value.max_tokens);
  const std::size_t all_tokens = static_cast<std::size_t>(l.value.prompt_tokens) + tokens;
  if (l.value.tokens.capacity() >= all_tokens) return;
  const std::size_t text_bytes = std::min(tokens * 5, kTextReserved);
  l.value.tokens.reserve(all_tokens);
  if (l.request->streams)
    l.request->reserve(text_bytes, std::min<std::size_t>(tokens, 64));
  else
    l.text.reserve(text_bytes);
}

void Executor::look_at(RequestId request) {
  looks_.with([&](auto& all) { all.push_back(request); });
  looks_asked_.store(true);
}

// Where groups are made who begins with whom matters, and where one request runs at a time who is
// that one. A prompt of one token may start where longer ones may not (outputs_max), so it is no
// measure for those behind it.
bool Executor::may_wait_for_room(const LiveSequence& l) const {
  return batching_ == Batching::kContinuous && !rules_.node->one_request.load() && l.released &&
         !l.held && !l.ended && l.kv.empty() && l.front == LiveSequence::Front::kOwn &&
         l.value.known_tokens() > 1;
}

void Executor::put_to_rest() {
  if (to_rest_.empty()) return;
  for (LiveSequence* l : to_rest_) {
    Waiting::Times times{.look_at = l->request->deadline, .ends_at = l->request->deadline};
    const auto earlier = [](Instant& time, Instant at) {
      if (time == Instant{} || at < time) time = at;
    };
    if (l->held_back) {
      earlier(times.look_at, *l->held_back + rules_.stalled);
      earlier(times.ends_at, *l->held_back + rules_.stalled);
    }
    // A better class that has come wakes all, see release().
    if (l->lifted > best_seen_ && rules_.age_step > Nanos{0}) {
      const auto lifts = static_cast<int>(l->value.priority) - static_cast<int>(l->lifted) + 1;
      earlier(times.look_at, l->last_progress + lifts * rules_.age_step);
    }
    if (l->held_back) {  // for long, perhaps: it keeps what it has and no more
      l->value.tokens.shrink_to_fit();
      l->request->trim();
    }
    waiting_.put(*l, l->held_back ? Waiting::For::kReader : Waiting::For::kRoom, times);
  }
  std::erase_if(awake_, [](const LiveSequence* l) { return l->waits.has_value(); });
  list_awake_ids();
}

void Executor::keep_awake(LiveSequence& l) {
  const auto at = std::ranges::lower_bound(awake_ids_, l.value.id) - awake_ids_.begin();
  awake_ids_.insert(awake_ids_.begin() + at, l.value.id);
  awake_.insert(awake_.begin() + at, &l);
}

void Executor::wake(LiveSequence& l) {
  waiting_.take(l);
  keep_awake(l);
}

void Executor::wake_all() {
  if (waiting_.size() == 0) return;
  for (const auto& l : live_)
    if (l->waits) waiting_.take(*l);
  find_awake();
}

void Executor::find_awake() {
  awake_.clear();
  for (const auto& l : live_)
    if (!l->waits) awake_.push_back(l.get());
  list_awake_ids();
}

void Executor::list_awake_ids() {
  awake_ids_.clear();
  for (const LiveSequence* l : awake_) awake_ids_.push_back(l->value.id);
}

void Executor::wake_who_is_due(Instant now) {
  if (looks_asked_.load()) {
    looks_asked_.store(false);
    for (const RequestId id : looks_.with([](auto& all) { return std::exchange(all, {}); })) {
      // A sequence has the number of its request.
      const auto found = std::ranges::lower_bound(live_, SeqId{id.value}, {},
                                                  [](const auto& l) { return l->value.id; });
      if (found != live_.end() && (*found)->request->id == id && (*found)->waits) wake(**found);
    }
  }
  // One after the other they would be moved aside for each other; mostly it is one, or very many.
  bool any = false;
  while (LiveSequence* l = waiting_.due(now)) {
    waiting_.take(*l);
    any = true;
  }
  if (any) find_awake();
}

// policy/step starts prompts in the order of the queue until one finds no room, and then nobody
// behind it. `room` is at least what it can find: what is free, and what holders of a worse class
// than any prompt have, or all of them where a decode may take the cells of its like.
void Executor::add_candidates() {
  candidates_.clear();
  if (!queue_open_ || waiting_.queued() == 0) return;
  const bool classes = rules_.node->classes.load();
  const EngineConfig& engine = engine_->config();
  const KvUse held = use();
  const Priority best =
      std::min(wanted_.best_prompt, classes ? waiting_.best_lifted() : Priority::kNormal);
  KvUse room{.cells = engine.context_tokens - held.cells,
             .slots = engine.sequences_max - held.slots};
  if (room.cells < wanted_.decodes) {
    room = {.cells = engine.context_tokens, .slots = engine.sequences_max};
  } else if (wanted_.worst_holder > best) {
    for (const SeqView& row : views_) {
      if (row.computed_tokens == 0 || row.priority <= best) continue;
      room.cells += row.known_tokens;
      ++room.slots;
    }
  } else if (room.slots == 0 && wanted_.decodes > 0) {
    return;  // nobody can start, and the plan is not empty without them
  }
  waiting_.first(room, classes, tenants_, candidates_);
  for (const LiveSequence* l : candidates_) views_.push_back(view(*l));
}

void Executor::wake_who_starts() {
  for (LiveSequence* l : candidates_) {
    if (std::ranges::find(plan_.slices, l->value.id, &Slice::seq) == plan_.slices.end()) continue;
    wake(*l);
    woken_for_plan_ = true;
  }
}

}  // namespace choir
