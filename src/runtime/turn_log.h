// The last turns of each lane, for those who watch. A lane writes 32 bytes a turn and waits for
// nobody; a reader that is too slow is told how many turns it has missed.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "choir/ids.h"
#include "choir/turns.h"

namespace choir {

class TurnLog {
 public:
  explicit TurnLog(int lanes);

  struct Record {
    Instant began;
    Nanos length{0};
    ExecutorId executor;
    std::int32_t prompt_tokens = 0;
    std::int32_t decode_rows = 0;
    Priority priority = Priority::kNormal;
    int threads = 0;
    TurnReason reason = TurnReason::kAlone;
  };
  // One thread at a time for each lane. Does not block.
  void add(int lane, const Record& record);
  // The name that turns of this executor are shown with. The last 1,024 names are kept. Any thread.
  void name(ExecutorId executor, std::string name);
  // Turns from these positions on, one for each lane; a lane without one: all that are kept. Any
  // thread, beside add().
  std::vector<LaneTurns> since(std::span<const std::uint64_t> from) const;

 private:
  // A record as words, so that it can be read while it is overwritten. The last word ends with the
  // low half of its number, and is zero while the others change.
  struct alignas(32) Slot {
    std::array<std::atomic<std::uint64_t>, 4> words{};
  };
  struct Ring {
    std::array<Slot, kTurnsKept> slots;
    std::atomic<std::uint64_t> next{0};
  };
  using Names = std::map<ExecutorId, std::string>;
  static std::optional<ComputedTurn> read(const Ring& ring, std::uint64_t number,
                                          const Names& names);
  static LaneTurns since(const Ring& ring, std::optional<std::uint64_t> from, const Names& names);

  std::vector<std::unique_ptr<Ring>> rings_;
  Guarded<Names> names_;
};

}  // namespace choir
