#include "base/clock.h"

namespace choir {
namespace {

Nanos machine_time() {
  return std::chrono::duration_cast<Nanos>(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace

SteadyClock::SteadyClock() : start_(machine_time()) {}

Instant SteadyClock::now() const { return {machine_time() - start_}; }

}  // namespace choir
