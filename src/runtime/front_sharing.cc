#include "runtime/front_sharing.h"

#include <algorithm>

#include "base/check.h"

namespace choir {
namespace {

using Front = LiveSequence::Front;
using Do = FrontChoice::Do;

bool seeks(const LiveSequence& l) {
  return l.computed == 0 && l.kv.empty() && l.front == Front::kOwn && !l.ended;
}

}  // namespace

void FrontSharing::reuse(LiveSequence& l, KvState kv) {
  if (l.conversation == ConversationKey{}) return;
  auto entry = memory_.take_kept(l.conversation, std::move(kv));
  if (!entry) return;
  const std::int32_t same =
      std::min(common_prefix(entry->tokens, l.value.tokens), l.value.known_tokens() - 1);
  try {
    // Not of another scope; nor where the first plan with it will find more elsewhere.
    if (entry->scope != l.scope || better_elsewhere(l, same))
      memory_.drop(*entry);
    else
      memory_.give(l, std::move(*entry), same);
  } catch (...) {  // nobody else knows of its cells
    memory_.drop(*entry);
    throw;
  }
}

bool FrontSharing::better_elsewhere(const LiveSequence& l, std::int32_t same) {
  if (!facts_.settings().prefix_cache || same + kSharedTokensMin >= l.value.known_tokens())
    return false;
  find_sources({});
  return choose(l, 0, MayWait::kNo).tokens >= same + kSharedTokensMin;
}

bool FrontSharing::share(const StepPlan& plan, bool queue, MayWait may_wait) {
  const auto of_prompt = [](const Slice& slice) { return slice.begin == 0 || slice.count > 1; };
  const auto new_one = [](const auto& l) { return !l->held && seeks(*l); };
  if (std::ranges::none_of(plan.slices, of_prompt) ||
      (!queue && std::ranges::none_of(live_.awake(), new_one)))
    return false;
  find_sources(plan.slices);
  bool changed = false;
  const auto stand_back = [&](LiveSequence& l) {
    l.front = Front::kStandsBack;
    if (l.waits) live_.wake(l);
    standing_back_.push_back(&l);
    changed = true;
  };
  for (const Slice& slice : plan.slices) {
    if (slice.begin > 0) continue;
    LiveSequence& l = live_.at(slice.seq);
    if (!seeks(l)) continue;
    const FrontChoice choice = choose(l, slice.count, may_wait);
    if (choice.what == Do::kStandBack) {
      stand_back(l);
      continue;
    }
    if (choice.what == Do::kFork && take_front(l, choice.from, choice.tokens) > 0) changed = true;
    sources_.push_back(source(l, std::min(l.value.known_tokens(), l.computed + slice.count)));
  }
  // Those for whom there was no room in the pass would come next, only to be sent back too; and
  // what is computed for them is no reason to lift their class.
  for (const auto& l : live_.all())  // those that rest, too
    if (new_one(l) && std::ranges::find(plan.slices, l->value.id, &Slice::seq) == plan.slices.end())
      if (choose(*l, 0, may_wait).what == Do::kStandBack) stand_back(*l);
  return changed;
}

bool FrontSharing::stand_forward() {
  if (standing_back_.empty()) return false;
  for (LiveSequence* l : standing_back_) l->front = Front::kOwn;
  standing_back_.clear();
  return true;
}

FrontSource FrontSharing::source(const LiveSequence& l, std::int32_t cells_after) const {
  return {.id = l.value.id,
          .tokens = l.value.tokens,
          .cells = l.computed,
          .cells_after = cells_after,
          .priority = l.class_now(facts_.node()),
          .scope = l.scope->id()};
}

void FrontSharing::find_sources(std::span<const Slice> slices) {
  sources_.clear();
  for (const LiveSequence* l : live_.awake()) {
    if (l->computed == 0 || l->ended) continue;
    const auto slice = std::ranges::find(slices, l->value.id, &Slice::seq);
    sources_.push_back(source(*l, l->computed + (slice == slices.end() ? 0 : slice->count)));
  }
  memory_.offer(sources_);
}

FrontChoice FrontSharing::choose(const LiveSequence& l, std::int32_t slice_tokens,
                                 MayWait may_wait) const {
  return choose_front({.tokens = l.value.tokens,
                       .slice_tokens = slice_tokens,
                       .priority = l.class_now(facts_.node()),
                       .may_wait = may_wait == MayWait::kYes,
                       .scope = l.scope->id()},
                      sources_,
                      {.fronts = memory_.engine().fronts(),
                       .window_tokens = facts_.model().info().sliding_window_tokens});
}

std::int32_t FrontSharing::take_front(LiveSequence& l, SeqId from, std::int32_t tokens) {
  const auto found = std::ranges::find(sources_, from, &FrontSource::id);
  memory_.fork(l, from, tokens, found->cells == tokens, sources_);
  CHOIR_CHECK(l.computed < l.value.known_tokens(), "one token is computed for its logits");
  if (l.computed == 0) return 0;
  l.front = Front::kForked;
  if (!l.begun)
    memory_.count_reused(l);
  else  // it had lost its cells, and gets some back
    l.usage.recomputed_tokens = std::max(0, l.usage.recomputed_tokens - l.computed);
  return l.computed;
}

}  // namespace choir
