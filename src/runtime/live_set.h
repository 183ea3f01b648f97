// The live sequences of an executor, by id: those that steps walk through, which are awake, and
// those that rest (runtime/waiting.h). It also keeps how many there are of each class and tenant.
//
// Owned by an executor and used by the thread that has its turn. Owns the sequences; their KV cells
// are ExecutorMemory's, and one that is taken out must hold none there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "policy/tenants.h"
#include "runtime/class_counts.h"
#include "runtime/live_sequence.h"
#include "runtime/waiting.h"

namespace choir {

class LiveSet {
 public:
  std::span<const std::unique_ptr<LiveSequence>> all() const { return all_; }
  std::span<LiveSequence* const> awake() const { return awake_; }
  const Waiting& waiting() const { return waiting_; }
  bool empty() const { return all_.empty(); }
  // The best class of all, without what waiting has earned.
  Priority best_class() const { return of_class_.best(); }
  Tenants& tenants() { return tenants_; }
  const Tenants& tenants() const { return tenants_; }

  // One that is awake. `guess`: where it probably is in awake().
  std::size_t index_of(SeqId id, std::size_t guess) const;
  LiveSequence& at(SeqId id) { return *awake_[index_of(id, 0)]; }

  // It is awake.
  LiveSequence& add(std::unique_ptr<LiveSequence> live);
  // All of them, and those of which `may_go` is true, newest first, at most `count`.
  std::vector<std::unique_ptr<LiveSequence>> take_all();
  template <class MayGo>
  std::vector<std::unique_ptr<LiveSequence>> take_newest(std::int32_t count, MayGo&& may_go) {
    std::vector<std::unique_ptr<LiveSequence>> taken;
    wake_all();
    for (auto at = all_.rbegin(); at != all_.rend() && std::ssize(taken) < count; ++at) {
      if (!may_go(**at)) continue;
      leave_groups(**at);
      taken.push_back(std::move(*at));
    }
    std::erase(all_, nullptr);
    find_awake();
    return taken;
  }

  // It has ended, and goes with the next erase_ended().
  void mark_ended(LiveSequence& live);
  void erase_ended();
  // They have all ended, or go without an end; the totals begin anew.
  void clear();
  // Somebody has left since forget_who_left(), so others may now begin.
  bool some_left() const { return some_left_; }
  void forget_who_left() { some_left_ = false; }

  struct Rest {
    LiveSequence* live = nullptr;
    Waiting::For what = Waiting::For::kRoom;
    Waiting::Times times;
  };
  // They were awake.
  void rest(std::span<const Rest> resting);
  void wake(LiveSequence& live);
  void wake_if_it_rests(RequestId request);
  void wake_all();
  void wake_who_is_due(Instant now);

  // For tests: whether the totals that are kept from step to step are what counting gives.
  bool books_balance() const;

 private:
  // Its class, tenant and reuse scope do not count it any more.
  void leave_groups(LiveSequence& live);
  void keep_awake(LiveSequence& live);
  void find_awake();
  void list_awake_ids();  // of awake_, after some have left it

  std::vector<std::unique_ptr<LiveSequence>> all_;
  std::vector<LiveSequence*> awake_;
  std::vector<SeqId> awake_ids_;  // the same order, for searching
  Waiting waiting_;               // the others
  ClassCounts of_class_;
  Tenants tenants_;
  std::int32_t to_erase_ = 0;  // that have ended
  bool some_left_ = false;
};

}  // namespace choir
