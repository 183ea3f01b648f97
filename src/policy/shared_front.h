// Tells which fronts sequences share, and what that saves: the cells of a front that several hold
// are there once.
//
// Pure. Idea: the radix tree of SGLang; here it is made when somebody looks, of what the engine
// holds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "choir/cells.h"
#include "core/cell_run.h"

namespace choir {

// How many of their first cells two sequences share.
std::int32_t shared_cells(std::span<const CellRun> a, std::span<const CellRun> b);

// All shared fronts of `sequences`; a shorter one comes before those that begin with it.
std::vector<SharedFront> shared_fronts(std::span<const std::vector<CellRun>> sequences);

}  // namespace choir
