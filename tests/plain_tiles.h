// A table whose products of K types go through the code for AMX tiles, with the tile instructions
// in plain C++: it runs where there is no AMX.
#pragma once

#include "kernels/kernel_table.h"

namespace choir::kernels {

// Null where the kernels are not compiled for AVX2.
const KernelTable* plain_tiles_table();

}  // namespace choir::kernels
