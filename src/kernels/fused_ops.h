// Computes what a node stands for (fusion.h). Called by every thread of a graph at once.
#pragma once

#include <cstddef>

struct ggml_compute_params;
struct ggml_tensor;

namespace choir::kernels {

std::size_t fused_work_bytes(int threads, const ggml_tensor* op);
void compute_fused(const ggml_compute_params& params, ggml_tensor* op);

}  // namespace choir::kernels
