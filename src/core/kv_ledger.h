// KV arithmetic: what the live sequences hold of an executor's cells and slots.
#pragma once

#include <cstdint>
#include <span>

#include "core/step_plan.h"

namespace choir {

struct KvUse {
  std::int32_t cells = 0;  // one for each computed token
  std::int32_t slots = 0;  // sequences that hold any
  bool operator==(const KvUse&) const = default;
};

inline KvUse count_kv(std::span<const SeqView> seqs) {
  KvUse use;
  for (const SeqView& seq : seqs) {
    use.cells += seq.computed_tokens;
    use.slots += seq.computed_tokens > 0 ? 1 : 0;
  }
  return use;
}

}  // namespace choir
