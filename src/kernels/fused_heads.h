// Computes heads on their way to attention (fusion.h). Called by every thread of a graph at once.
#pragma once

struct ggml_compute_params;

namespace choir::kernels {

struct Fused;

void compute_heads(const ggml_compute_params& params, const Fused& fused);

}  // namespace choir::kernels
