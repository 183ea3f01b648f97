// The kernels for AVX-512 with VNNI. Compiled for it, so nothing else may be defined here: an
// inline function of a library compiled in this file could be the copy that other CPUs run.
#include "kernels/kernel_table.h"

#if defined(__AVX512VNNI__)
#include "kernels/isa_avx512.h"
// After the instruction set that they use.
#include "kernels/attention.inc"
#include "kernels/products.inc"
#include "kernels/rows.inc"
#include "kernels/turned_heads.inc"

namespace choir::kernels {

const KernelTable* avx512_table() {
  static constexpr KernelTable kTable = {"avx512",
                                         Avx512::kRowsMax,
                                         Avx512::kFloatRowsMax,
                                         prepare_row<Avx512>,
                                         multiply<Avx512>,
                                         multiply_glu<Avx512>,
                                         store_unit<Avx512>,
                                         norm_row<Avx512>,
                                         finish_head<Avx512>,
                                         attend<Avx512>,
                                         rotate_row<Avx512>};
  return &kTable;
}

}  // namespace choir::kernels
#else
namespace choir::kernels {

const KernelTable* avx512_table() { return nullptr; }

}  // namespace choir::kernels
#endif
