#include "kernels/rotation_op.h"

#include <ggml.h>

#include <cstdint>

#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/kernel_table.h"

namespace choir::kernels {

bool covers_rotation(const ggml_tensor* op) {
  const ggml_tensor* x = op->src[1];
  const std::int64_t columns = x->ne[0];
  return ggml_get_op_params_i32(op, 1) == GGML_HINT_SRC0_IS_HADAMARD &&
         op->src[0]->type == GGML_TYPE_F32 && x->type == GGML_TYPE_F32 &&
         (columns == 64 || columns == 128 || columns == 256) && ggml_is_contiguous(x) &&
         ggml_is_contiguous(op);
}

void compute_rotation(const ggml_compute_params& params, ggml_tensor* op) {
  const std::int64_t columns = op->ne[0];
  const std::int64_t rows = ggml_nrows(op);
  const auto* from = static_cast<const float*>(op->src[1]->data);
  auto* to = static_cast<float*>(op->data);
  for (std::int64_t row = rows * params.ith / params.nth;
       row < rows * (params.ith + 1) / params.nth; ++row)
    active_table()->rotate_row(from + row * columns, static_cast<int>(columns), to + row * columns);
}

}  // namespace choir::kernels
