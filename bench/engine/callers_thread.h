// A pool of one thread, which is the caller's. Not sim's: another revision that is measured may
// have none.
#pragma once

#include <functional>

#include "engine/engine.h"

namespace choir::bench {

class CallersThread final : public Pool {
 public:
  int threads() const override { return 1; }
  Pool& narrowed(int) override { return *this; }
  void for_each(int count, const std::function<void(int, int)>& work) override {
    for (int i = 0; i < count; ++i) work(i, 0);
  }
};

}  // namespace choir::bench
