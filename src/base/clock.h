// The node's time. Policies are handed an Instant; only a Clock knows how to read one.
#pragma once

#include <cstdint>

#include "choir/units.h"

namespace choir {

// Thread-safe: now() from any thread; never goes back.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
};

// The monotonic clock of the machine. Zero when the first of this process was read: an instant of
// one node means the same in another, and requests move between them.
class SteadyClock final : public Clock {
 public:
  Instant now() const override;
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

// Milliseconds since 1970, for what people read and what outlives the process; may jump.
std::int64_t unix_ms();

}  // namespace choir
