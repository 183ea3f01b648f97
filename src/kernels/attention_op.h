// ggml's FLASH_ATTN_EXT where we compute it. Called by every thread of a graph at once.
#pragma once

#include <cstddef>

struct ggml_compute_params;
struct ggml_tensor;

namespace choir::kernels {

// Whether our kernel computes this one; where not, ggml's does.
bool covers_attention(const ggml_tensor* op);

std::size_t attention_work_bytes(int threads, const ggml_tensor* op);
void compute_attention(const ggml_compute_params& params, ggml_tensor* op);

}  // namespace choir::kernels
