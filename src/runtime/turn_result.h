// What a turn of an executor leaves to do. A value.
#pragma once

#include <algorithm>
#include <optional>

#include "choir/units.h"

namespace choir {

struct TurnResult {
  Nanos elapsed{0};
  std::optional<Priority> best;    // of what is left to do now; nullopt: nothing
  std::optional<Instant> wake_at;  // when it needs a turn even if no mail comes

  void add_work(Priority priority) { best = best ? std::min(*best, priority) : priority; }
  void add_alarm(Instant at) { wake_at = wake_at ? std::min(*wake_at, at) : at; }
};

}  // namespace choir
