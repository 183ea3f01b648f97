// Live sequences that steps leave alone until something concerns them: those that wait for room, in
// the order in which policy/step starts them, and those whose reader is too far behind.
//
// policy/step places decodes whatever waits, and starts waiting sequences one after the other until
// one does not fit. So a step need only know the first few of a queue, and their totals; with a
// thousand that wait it does the same as with one.
//
// A value of its executor, used by the thread that has the turn. The sequences belong to the
// executor and are taken out before they change or go.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "choir/units.h"
#include "core/kv_ledger.h"
#include "policy/tenants.h"
#include "runtime/class_counts.h"
#include "runtime/live_sequence.h"

namespace choir {

class Waiting {
 public:
  enum class For : std::uint8_t { kRoom, kReader };
  // `look_at`: when it has to be looked at though nothing happens to it; `ends_at`: when it ends
  // then, at the latest. Instant{}: never.
  struct Times {
    Instant look_at;
    Instant ends_at;
  };
  void put(LiveSequence& live, For what, const Times& times);
  void take(LiveSequence& live);

  std::int32_t size() const { return size_; }
  // One whose `look_at` has come; null: none.
  LiveSequence* due(Instant now) const {
    return look_at_.empty() || look_at_.begin()->first > now ? nullptr : look_at_.begin()->second;
  }
  std::optional<Instant> first_end() const {
    return ends_at_.empty() ? std::nullopt : std::optional(*ends_at_.begin());
  }

  // Of those that wait for room:
  std::int32_t queued() const { return queued_; }
  std::int32_t queued_cells() const { return cells_; }  // that they all want
  // The best class with what waiting has earned, and the best without. Needs: queued() > 0.
  Priority best_lifted() const { return groups_.begin()->first.first; }
  Priority best_own() const;
  // The first ones, best first, up to the one behind which none fits: that makes `room.slots` of
  // them and one more, or more cells than `room.cells`. `classes`: else all are of class NORMAL.
  void first(KvUse room, bool classes, const Tenants& tenants,
             std::vector<LiveSequence*>& first) const;
  // A pass left all of them wanting.
  void count_wanting(bool classes, Tenants& tenants) const;

 private:
  struct ByArrival {
    bool operator()(const LiveSequence* a, const LiveSequence* b) const {
      return std::pair(a->arrived, a->value.id) < std::pair(b->arrived, b->value.id);
    }
  };
  // Those of one class and tenant start in order of arrival.
  using Group = std::set<LiveSequence*, ByArrival>;
  std::map<std::pair<Priority, Tenants::Account*>, Group> groups_;
  std::set<std::pair<Instant, LiveSequence*>> look_at_;
  std::multiset<Instant> ends_at_;
  ClassCounts own_;  // of those that are queued, without what waiting has earned
  std::int32_t size_ = 0;
  std::int32_t queued_ = 0;
  std::int32_t cells_ = 0;
};

}  // namespace choir
