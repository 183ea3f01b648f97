// Sequences that begin the same share the cells of what they have in common (policy/share.h).
#include <algorithm>

#include "base/check.h"
#include "runtime/executor.h"

namespace choir {
namespace {

using Front = LiveSequence::Front;
using Do = FrontChoice::Do;

bool seeks(const LiveSequence& l) {
  return l.computed == 0 && l.kv.empty() && l.front == Front::kOwn && !l.ended;
}

}  // namespace

bool Executor::share_fronts(MayWait may_wait) {
  if (!prefix_cache_) return false;
  // Not worth a look while all decode, nor while nobody is new.
  if (wanted_.decodes == std::ssize(views_)) return false;
  const bool queue = queue_open_ && waiting_.queued() > 0;
  const auto of_prompt = [](const Slice& slice) { return slice.begin == 0 || slice.count > 1; };
  const auto new_one = [](const auto& l) { return !l->held && seeks(*l); };
  if (std::ranges::none_of(plan_.slices, of_prompt) ||
      (!queue && std::ranges::none_of(awake_, new_one)))
    return false;
  find_sources(plan_.slices);
  bool changed = false;
  const auto stand_back = [&](LiveSequence& l) {
    l.front = Front::kStandsBack;
    if (l.waits) wake(l);
    standing_back_.push_back(&l);
    changed = true;
  };
  for (const Slice& slice : plan_.slices) {
    if (slice.begin > 0) continue;
    LiveSequence& l = live(slice.seq);
    if (!seeks(l)) continue;
    FrontChoice choice = choose(l, slice.count, may_wait);
    if (choice.what == Do::kStandBack) {
      stand_back(l);
      continue;
    }
    if (choice.what == Do::kFork && take_front(l, choice.from, choice.tokens) > 0) changed = true;
    sources_.push_back({.id = l.value.id,
                        .tokens = l.value.tokens,
                        .cells = l.computed,
                        .cells_after = std::min(l.value.known_tokens(), l.computed + slice.count),
                        .priority = class_of(l),
                        .scope = l.scope->id()});
  }
  // Those for whom there was no room in the pass would come next, only to be sent back too; and
  // what is computed for them is no reason to lift their class.
  for (const auto& l : live_)  // who rests, too
    if (new_one(l) &&
        std::ranges::find(plan_.slices, l->value.id, &Slice::seq) == plan_.slices.end())
      if (choose(*l, 0, may_wait).what == Do::kStandBack) stand_back(*l);
  return changed;
}

void Executor::stand_forward() {
  for (LiveSequence* l : standing_back_) l->front = Front::kOwn;
  standing_back_.clear();
}

void Executor::find_sources(std::span<const Slice> slices) {
  sources_.clear();
  for (const LiveSequence* l : awake_) {
    if (l->computed == 0 || l->ended) continue;
    const auto slice = std::ranges::find(slices, l->value.id, &Slice::seq);
    sources_.push_back({.id = l->value.id,
                        .tokens = l->value.tokens,
                        .cells = l->computed,
                        .cells_after = l->computed + (slice == slices.end() ? 0 : slice->count),
                        .priority = class_of(*l),
                        .scope = l->scope->id()});
  }
  kept_.offer(sources_);
  cache_.offer(sources_);
}

FrontChoice Executor::choose(const LiveSequence& l, std::int32_t slice_tokens,
                             MayWait may_wait) const {
  return choose_front(
      {.tokens = l.value.tokens,
       .slice_tokens = slice_tokens,
       .priority = class_of(l),
       .may_wait = may_wait == MayWait::kYes,
       .scope = l.scope->id()},
      sources_,
      {.fronts = engine_->fronts(), .window_tokens = model_->info().sliding_window_tokens});
}

// How many tokens it got; where the engine gives none it computes all of them.
std::int32_t Executor::take_front(LiveSequence& l, SeqId from, std::int32_t tokens) {
  const auto source = std::ranges::find(sources_, from, &FrontSource::id);
  const bool whole = source->cells == tokens;
  const bool cached = cache_.holds(from);
  if (!cached || !whole) evict_cached({.cells = 0, .slots = 1}, from);
  const bool no_slot = use().slots + cache_.use().slots >= engine_->config().sequences_max;
  if (cached && (whole || no_slot)) {
    cache_.release(from);
    std::erase_if(sources_, [&](const FrontSource& s) { return s.id == from; });
    engine_->rename(from, l.value.id);
    held_.set(l.computed, engine_->truncate(l.value.id, tokens));
  } else if (!no_slot) {
    held_.set(l.computed, engine_->fork(from, l.value.id, tokens).value_or(0));
    cache_.touch(from);
  }
  CHOIR_CHECK(l.computed < l.value.known_tokens(), "one token is computed for its logits");
  if (l.computed == 0) return 0;
  l.front = Front::kForked;
  if (!l.begun)
    count_reused(l);
  else  // it had lost its cells, and gets some back
    l.usage.recomputed_tokens = std::max(0, l.usage.recomputed_tokens - l.computed);
  return l.computed;
}

void Executor::evict_cached(KvUse need, SeqId spared) {
  if (cache_.empty()) return;
  const KvUse held = use();
  const EngineConfig& engine = engine_->config();
  for (KvUse cached = cache_.use();
       held.cells + cached.cells + need.cells > engine.context_tokens ||
       held.slots + cached.slots + need.slots > engine.sequences_max;
       cached = cache_.use()) {
    const auto gone = cache_.evict_oldest(*engine_, spared);
    if (!gone) return;
    std::erase_if(sources_, [&](const FrontSource& source) { return source.id == *gone; });
  }
}

KvUse Executor::need_of_plan() const {
  KvUse need;
  for (const Slice& slice : plan_.slices) {
    need.cells += slice.count;
    need.slots += slice.begin == 0 ? 1 : 0;
  }
  return need;
}

bool Executor::better_elsewhere(const LiveSequence& l, std::int32_t same) {
  if (!prefix_cache_ || same + kSharedTokensMin >= l.value.known_tokens()) return false;
  find_sources({});
  return choose(l, 0, MayWait::kNo).tokens >= same + kSharedTokensMin;
}

void Executor::forget_lost() {
  for (const auto& l : live_) {
    const std::int32_t left = engine_->computed(l->value.id);
    l->usage.recomputed_tokens += l->computed - left;
    held_.set(l->computed, left);
  }
  kept_.forget_lost(*engine_);
  cache_.forget_lost(*engine_);
}

void Executor::forget_cached() {
  cache_.clear(*engine_);
  stats_->cached_cells.store(0, std::memory_order_relaxed);
}

}  // namespace choir
