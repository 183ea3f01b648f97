// The node's time. Policies are handed an Instant; only a Clock knows how to read one.
#pragma once

#include "choir/units.h"

namespace choir {

// Thread-safe: now() from any thread; never goes back.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
};

// The monotonic clock of the machine, zero at its creation.
class SteadyClock final : public Clock {
 public:
  SteadyClock();
  Instant now() const override;

 private:
  Nanos start_;
};

// A clock that stands still until it is told; for tests and the simulator. One thread moves it.
class ManualClock final : public Clock {
 public:
  Instant now() const override { return now_; }
  void advance(Nanos by) { now_ = now_ + by; }
  void set(Instant to) { now_ = to; }

 private:
  Instant now_;
};

}  // namespace choir
