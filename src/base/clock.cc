#include "base/clock.h"

namespace choir {
namespace {

Nanos machine_time() {
  return std::chrono::duration_cast<Nanos>(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace

Instant SteadyClock::now() const {
  static const Nanos start = machine_time();
  return {machine_time() - start};
}

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace choir
