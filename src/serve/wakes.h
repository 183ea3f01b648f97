// Collects wakes from any thread for one loop: the loop is interrupted once for all that come
// before it looks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "serve/http.h"

namespace choir::serve {

class Wakes : public std::enable_shared_from_this<Wakes> {
 public:
  // `interrupt` makes the loop call take(); any thread calls it, under a lock, and it must not
  // block.
  explicit Wakes(std::function<void()> interrupt) : state_(State{{}, std::move(interrupt)}) {}

  // What wakes the connection of this key. It may outlive this object's owner.
  Wake wake_of(std::uint64_t key) {
    return [self = shared_from_this(), key] { self->wake(key); };
  }
  // The keys that were woken since the last call, on the loop; a key may be there twice.
  std::vector<std::uint64_t> take() {
    return state_.with([](State& s) { return std::exchange(s.keys, {}); });
  }
  // From now on nothing is woken and `interrupt` is not called.
  void close() {
    state_.with([](State& s) { s.interrupt = nullptr; });
  }

 private:
  struct State {
    std::vector<std::uint64_t> keys;
    std::function<void()> interrupt;
  };
  void wake(std::uint64_t key) {
    state_.with([&](State& s) {
      if (!s.interrupt) return;
      s.keys.push_back(key);
      if (s.keys.size() == 1) s.interrupt();
    });
  }
  Guarded<State> state_;
};

}  // namespace choir::serve
