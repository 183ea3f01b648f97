// How often something has changed, for those who keep what they have made of it: as long as the
// count is the one that they read before they looked, nothing has changed. Counts of several owners
// are added: the same sum says the same of all of them.
//
// Any thread; does not block.
#pragma once

#include <atomic>
#include <cstdint>

namespace choir {

class ChangeCount {
 public:
  // After a change, and before anybody is told that it is done.
  void count() { changes_.fetch_add(1, std::memory_order_release); }
  std::uint64_t counted() const { return changes_.load(std::memory_order_acquire); }

 private:
  std::atomic<std::uint64_t> changes_{0};
};

}  // namespace choir
