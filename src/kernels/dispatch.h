// Which kernels this CPU runs. Apart from kernel_table.h, which is compiled for each instruction
// set.
#pragma once

#include <span>
#include <string_view>

#include "kernels/kernel_table.h"

namespace choir::kernels {

// The kernels for one instruction set.
struct Path {
  std::string_view name;  // in CHOIR_KERNELS and in the table
  bool (*runs)();         // whether this CPU has it
  const KernelTable* (*table)();
};
// The first of the name that is wanted (empty: of any) that this CPU runs and this build has; null:
// there is none, or "off" is wanted. Asks a path for its table only where the CPU runs it.
const KernelTable* first_that_runs(std::span<const Path> paths, std::string_view wanted);

}  // namespace choir::kernels
