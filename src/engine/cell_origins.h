// Which cells the slots of an engine share: the engine itself knows, and does not tell.
//
// Owned by an engine and used by its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/cell_run.h"

namespace choir {

class CellOrigins {
 public:
  explicit CellOrigins(std::size_t slots) : slots_(slots) {}

  // The slot holds nothing; what it gets are cells of its own.
  void begin(std::size_t slot) { slots_.at(slot) = {own(0)}; }
  // It keeps its first `tokens` cells; those that follow will be others.
  void cut(std::size_t slot, std::int32_t tokens);
  // `to`, which holds nothing, has the first `tokens` cells of `from`.
  void fork(std::size_t from, std::size_t to, std::int32_t tokens);
  // Of the `tokens` cells that the slot has now.
  std::vector<CellRun> runs(std::size_t slot, std::int32_t tokens) const;

 private:
  struct Part {
    std::uint64_t origin = 0;
    std::int32_t begin = 0;  // to the next part's, and the last one to the end
  };
  Part own(std::int32_t begin) { return {.origin = ++last_, .begin = begin}; }

  std::vector<std::vector<Part>> slots_;
  std::uint64_t last_ = 0;
};

}  // namespace choir
