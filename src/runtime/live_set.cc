#include "runtime/live_set.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"

namespace choir {

std::size_t LiveSet::index_of(SeqId id, std::size_t guess) const {
  if (guess < awake_ids_.size() && awake_ids_[guess] == id) return guess;
  const auto at = std::ranges::lower_bound(awake_ids_, id);
  CHOIR_CHECK(at != awake_ids_.end() && *at == id, "a plan names live sequences only");
  return static_cast<std::size_t>(at - awake_ids_.begin());
}

LiveSequence& LiveSet::add(std::unique_ptr<LiveSequence> live) {
  of_class_.add(live->value.priority);
  live->tenant = &tenants_.came(live->value.tenant);
  live->tenant_weight = live->value.tenant_weight;
  const auto by_id = [](const auto& other) { return other->value.id; };
  const auto at = std::ranges::lower_bound(all_, live->value.id, {}, by_id);
  LiveSequence& l = **all_.insert(at, std::move(live));
  keep_awake(l);
  return l;
}

void LiveSet::keep_awake(LiveSequence& live) {
  const auto at = std::ranges::lower_bound(awake_ids_, live.value.id) - awake_ids_.begin();
  awake_ids_.insert(awake_ids_.begin() + at, live.value.id);
  awake_.insert(awake_.begin() + at, &live);
}

void LiveSet::leave_groups(LiveSequence& live) {
  of_class_.remove(live.value.priority);
  tenants_.left(*live.tenant);
  live.tenant = nullptr;
  live.scope = nullptr;
}

std::vector<std::unique_ptr<LiveSequence>> LiveSet::take_all() {
  wake_all();
  for (const auto& l : all_) leave_groups(*l);
  auto taken = std::exchange(all_, {});
  find_awake();
  return taken;
}

void LiveSet::mark_ended(LiveSequence& live) {
  live.ended = true;
  ++to_erase_;
}

void LiveSet::erase_ended() {
  if (to_erase_ == 0) return;
  for (const auto& l : all_)
    if (l->ended) leave_groups(*l);
  std::erase_if(awake_, [](const LiveSequence* l) { return l->ended; });
  std::erase_if(all_, [](const auto& l) { return l->ended; });
  to_erase_ = 0;
  some_left_ = true;
  list_awake_ids();
}

void LiveSet::clear() {
  waiting_ = {};
  awake_.clear();
  awake_ids_.clear();
  all_.clear();
  of_class_ = {};
  tenants_ = Tenants();
  to_erase_ = 0;
  some_left_ = true;
}

void LiveSet::rest(std::span<const Rest> resting) {
  if (resting.empty()) return;
  for (const Rest& one : resting) waiting_.put(*one.live, one.what, one.times);
  std::erase_if(awake_, [](const LiveSequence* l) { return l->waits.has_value(); });
  list_awake_ids();
}

void LiveSet::wake(LiveSequence& live) {
  waiting_.take(live);
  keep_awake(live);
}

void LiveSet::wake_if_it_rests(RequestId request) {
  // A sequence has the number of its request.
  const auto found = std::ranges::lower_bound(all_, SeqId{request.value}, {},
                                              [](const auto& l) { return l->value.id; });
  if (found != all_.end() && (*found)->request->id == request && (*found)->waits) wake(**found);
}

void LiveSet::wake_all() {
  if (waiting_.size() == 0) return;
  for (const auto& l : all_)
    if (l->waits) waiting_.take(*l);
  find_awake();
}

void LiveSet::wake_who_is_due(Instant now) {
  // One after the other they would be moved aside for each other; mostly it is one, or very many.
  bool any = false;
  while (LiveSequence* l = waiting_.due(now)) {
    waiting_.take(*l);
    any = true;
  }
  if (any) find_awake();
}

void LiveSet::find_awake() {
  awake_.clear();
  for (const auto& l : all_)
    if (!l->waits) awake_.push_back(l.get());
  list_awake_ids();
}

void LiveSet::list_awake_ids() {
  awake_ids_.clear();
  for (const LiveSequence* l : awake_) awake_ids_.push_back(l->value.id);
}

bool LiveSet::books_balance() const {
  std::int32_t ended = 0;
  std::map<const Tenants::Account*, std::int32_t> tenants;
  ClassCounts of_class;
  std::int32_t queued = 0;
  std::int32_t queued_cells = 0;
  std::int32_t resting = 0;
  for (const auto& l : all_) {
    resting += l->waits ? 1 : 0;
    queued += l->waits && l->waits->queued ? 1 : 0;
    queued_cells += l->waits && l->waits->queued ? l->pending() : 0;
    ++tenants[l->tenant];
    of_class.add(l->value.priority);
    ended += l->ended ? 1 : 0;
  }
  const bool counted =
      std::ranges::all_of(tenants, [](const auto& t) { return t.first->live() == t.second; });
  const bool rest_right = resting == waiting_.size() && queued == waiting_.queued() &&
                          queued_cells == waiting_.queued_cells() &&
                          all_.size() == awake_.size() + static_cast<std::size_t>(resting);
  return counted && rest_right && of_class == of_class_ && ended == to_erase_ &&
         tenants_.accounts() <= tenants.size() + TenantRules{}.remembered_max;
}

}  // namespace choir
