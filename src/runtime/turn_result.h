// What a turn of an executor leaves to do. A value.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "choir/units.h"

namespace choir {

// What a pass computed.
struct ComputedRows {
  std::int32_t prompt_tokens = 0;
  std::int32_t decode_rows = 0;
  Priority best = Priority::kLow;  // of the requests in it

  bool any() const { return prompt_tokens + decode_rows > 0; }
  void add(const ComputedRows& other) {
    if (!other.any()) return;
    prompt_tokens += other.prompt_tokens;
    decode_rows += other.decode_rows;
    best = std::min(best, other.best);
  }
};

struct TurnResult {
  Instant began;
  Nanos elapsed{0};
  ComputedRows computed;
  int threads = 0;                 // that computed it
  std::optional<Priority> best;    // of what is left to do now; nullopt: nothing
  std::optional<Instant> wake_at;  // when it needs a turn even if no mail comes

  void add_work(Priority priority) { best = best ? std::min(*best, priority) : priority; }
  void add_alarm(Instant at) { wake_at = wake_at ? std::min(*wake_at, at) : at; }
};

}  // namespace choir
