// ggml's operations on packed weights: MUL_MAT, MUL_MAT_ID, GET_ROWS. Called by every thread of a
// graph at once.
#pragma once

#include <cstddef>

struct ggml_compute_params;
struct ggml_tensor;

namespace choir::kernels {

std::size_t product_work_bytes(int threads, const ggml_tensor* op);
void compute_product(const ggml_compute_params& params, ggml_tensor* op);

std::size_t expert_product_work_bytes(int threads, const ggml_tensor* op);
void compute_expert_product(const ggml_compute_params& params, ggml_tensor* op);

void compute_get_rows(const ggml_compute_params& params, ggml_tensor* op);

}  // namespace choir::kernels
