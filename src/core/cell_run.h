// Where the KV cells of a sequence come from.
#pragma once

#include <cstdint>

namespace choir {

// Cells of a sequence that follow each other and were made for the same sequence. Two sequences of
// an engine hold the same cells as far as their runs have the same origins from the first one on;
// of two runs with one origin, those of the shorter.
struct CellRun {
  std::uint64_t origin = 0;  // never used again in this engine
  std::int32_t cells = 0;
  bool operator==(const CellRun&) const = default;
};

}  // namespace choir
