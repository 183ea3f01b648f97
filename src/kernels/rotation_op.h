// ggml's products with a Hadamard matrix, which the engine puts around attention where cells are
// quantized: it spreads what is large over a head. Called by every thread of a graph at once.
#pragma once

struct ggml_compute_params;
struct ggml_tensor;

namespace choir::kernels {

// Whether our kernel computes this one; where not, ggml's does.
bool covers_rotation(const ggml_tensor* op);

void compute_rotation(const ggml_compute_params& params, ggml_tensor* op);

}  // namespace choir::kernels
