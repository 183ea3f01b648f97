// What all executors of a node share and the node may change while they run. Any thread.
#pragma once

#include <atomic>

#include "base/change_count.h"
#include "choir/ids.h"
#include "choir/units.h"

namespace choir {

// What the executors of a node know of each other's urgent work: how long a first token of class
// CRITICAL or HIGH computes.
class UrgentPace {
 public:
  Nanos first_token() const { return Nanos{nanos_.load(std::memory_order_relaxed)}; }
  // A moving mean over some eight requests; two at once may lose one, which is no matter.
  void count(Nanos first_token) {
    const Nanos::rep old = nanos_.load(std::memory_order_relaxed);
    const Nanos::rep now = first_token.count();
    nanos_.store(old == 0 ? now : old + (now - old) / 8, std::memory_order_relaxed);
  }

 private:
  std::atomic<Nanos::rep> nanos_{0};
};

struct NodeRules {
  UrgentPace urgent;
  std::atomic<Nanos> quantum{std::chrono::milliseconds(50)};
  std::atomic<Nanos> fill{Nanos{0}};     // what a batch that is about to begin waits for company
  std::atomic<bool> classes{true};       // false: equal rights whatever the priority
  std::atomic<bool> one_request{false};  // only `turn_of` may compute
  std::atomic<RequestId> turn_of{};
  ChangeCount shown;  // of counts, of suspended executors, of loads, and of the node's door
};

}  // namespace choir
