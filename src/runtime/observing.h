// The way to a node's observer (choir/observer.h): nothing where there is none, and what it throws
// stays here.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/caught.h"
#include "base/process_exit.h"
#include "choir/observer.h"

namespace choir {

class RequestState;

// A sequence of the tenant and class was in the pass. Neighbours are mostly alike, and there are
// few tenants at a time. The view must outlive `parts`.
inline void count_part(std::vector<StepDone::Part>& parts, std::string_view tenant,
                       Priority priority) {
  const auto same = [&](const StepDone::Part& part) {
    return part.priority == priority && part.tenant == tenant;
  };
  if (parts.empty() || !same(parts.back())) {
    if (const auto found = std::ranges::find_if(parts, same); found != parts.end())
      std::swap(*found, parts.back());
    else
      parts.push_back({tenant, priority, 0});
  }
  ++parts.back().rows;
}

// Any thread. Owned by the node; lanes and dispatchers that call it end first.
class Observing {
 public:
  explicit Observing(std::shared_ptr<Observer> observer) : observer_(std::move(observer)) {}

  bool on() const { return observer_ != nullptr; }
  // Calls `tell(observer)` where there is one. As with callbacks, not any more after an exit.
  template <class F>
  void tell(F&& tell) const {
    if (!on() || exit_phase() == ExitPhase::kOver) return;
    const Status told = caught([&] { std::forward<F>(tell)(*observer_); });
    if (!told) complain(told.error());
  }
  void ended(const RequestState& request, const Completion& completion) const;
  void left(const std::string& executor, ExecutorLeft::Why why) const;
  // error: null where it was loaded.
  void loaded(const std::string& executor, double seconds, const Error* error) const;

 private:
  void complain(const Error& error) const;  // once

  const std::shared_ptr<Observer> observer_;
  mutable std::atomic<bool> complained_{false};
};

}  // namespace choir
