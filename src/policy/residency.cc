#include "policy/residency.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace choir {
namespace {

// Below these, differences are noise; and what was used in this instant, or costs nothing to
// reload, is still compared by its other figures.
constexpr double kIdleSecondsMin = 1e-3;
constexpr double kReloadSecondsMin = 1e-3;

bool may_leave(const ResidentView& view) { return !view.pinned && !view.busy; }

// What has come free, with the weights of a file counted when the last of its executors is gone.
class Memory {
 public:
  Memory(std::span<const ResidentView> residents, std::uint64_t keep_weights_key) {
    for (const ResidentView& view : residents) {
      File& file = files_[view.weights_key];
      const bool kept = keep_weights_key != 0 && view.weights_key == keep_weights_key;
      file.bytes = kept ? 0 : view.weight_bytes;
      ++file.residents;
      if (may_leave(view)) ++file.idle;
    }
  }

  std::uint64_t freed() const { return freed_; }

  // Its own bytes and a share of the weights, if these can come free at all.
  std::uint64_t room_of(const ResidentView& view) const {
    const File& file = files_.at(view.weights_key);
    return view.own_bytes + (file.idle == file.residents ? file.bytes / file.residents : 0);
  }

  void leave(const ResidentView& view) {
    File& file = files_.at(view.weights_key);
    if (--file.residents == 0) freed_ += file.bytes;
    freed_ += view.own_bytes;
  }

  void stay_after_all(const ResidentView& view) {
    File& file = files_.at(view.weights_key);
    if (file.residents++ == 0) freed_ -= file.bytes;
    freed_ -= view.own_bytes;
  }

 private:
  struct File {
    std::uint64_t bytes = 0;
    std::uint64_t residents = 0;
    std::uint64_t idle = 0;
  };
  std::map<std::uint64_t, File> files_;
  std::uint64_t freed_ = 0;
};

struct Candidate {
  const ResidentView* view;
  double merit;  // of leaving: bytes x idle seconds / reload seconds
};

std::vector<Candidate> candidates(std::span<const ResidentView> residents, const Memory& memory,
                                  std::uint64_t missing_bytes, Instant now) {
  std::vector<Candidate> list;
  for (const ResidentView& view : residents) {
    if (!may_leave(view)) continue;
    const auto room = static_cast<double>(std::min(memory.room_of(view), missing_bytes));
    const double idle = std::max(to_seconds(now - view.last_used), kIdleSecondsMin);
    list.push_back({&view, room * idle / std::max(view.reload_seconds, kReloadSecondsMin)});
  }
  std::ranges::sort(list, [](const Candidate& a, const Candidate& b) {
    return std::tie(b.merit, a.view->id) < std::tie(a.merit, b.view->id);
  });
  return list;
}

}  // namespace

ResidencyPlan plan_residency(std::span<const ResidentView> residents, std::uint64_t missing_bytes,
                             std::uint64_t keep_weights_key, Instant now) {
  Memory memory(residents, keep_weights_key);
  const std::vector<Candidate> idle = candidates(residents, memory, missing_bytes, now);
  for (const Candidate& candidate : idle) memory.leave(*candidate.view);
  if (memory.freed() < missing_bytes)
    return {.leave = {}, .freed = memory.freed(), .enough = false};

  // One pass is enough: a smaller set never frees more, so an executor that is needed now stays
  // needed.
  ResidencyPlan plan;
  for (auto candidate = idle.rbegin(); candidate != idle.rend(); ++candidate) {
    memory.stay_after_all(*candidate->view);
    if (memory.freed() >= missing_bytes) continue;
    memory.leave(*candidate->view);
    plan.leave.push_back(candidate->view->id);
  }
  std::ranges::reverse(plan.leave);
  plan.freed = memory.freed();
  plan.enough = true;
  return plan;
}

}  // namespace choir
