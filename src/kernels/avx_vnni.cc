// The kernels for AVX2 with AVX-VNNI. Compiled for it, so nothing else may be defined here: an
// inline function of a library compiled in this file could be the copy that other CPUs run.
#include "kernels/kernel_table.h"

#if defined(__AVXVNNI__)
#include "kernels/isa_avx2.h"
// After the instruction set that they use.
#include "kernels/attention.inc"
#include "kernels/products.inc"
#include "kernels/rows.inc"
#include "kernels/turned_heads.inc"

namespace choir::kernels {

const KernelTable* avx_vnni_table() {
  static constexpr KernelTable kTable = {"avx-vnni",        Avx2::kRowsMax,  Avx2::kFloatRowsMax,
                                         prepare_row<Avx2>, multiply<Avx2>,  multiply_glu<Avx2>,
                                         store_unit<Avx2>,  norm_row<Avx2>,  finish_head<Avx2>,
                                         attend<Avx2>,      rotate_row<Avx2>};
  return &kTable;
}

}  // namespace choir::kernels
#else
namespace choir::kernels {

const KernelTable* avx_vnni_table() { return nullptr; }

}  // namespace choir::kernels
#endif
