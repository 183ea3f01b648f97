// Puts fusion.h between ggml's scheduler and its CPU backend.
#pragma once

namespace choir::kernels {

// From now on, CPU backends that are made through their device compute fused graphs. Once, before
// the first is made. CHOIR_FUSION=off in the environment leaves graphs as they are, to compare.
void fuse_graphs();

// Whether graphs that are computed from now on are fused; for tests and benchmarks that compare.
void set_fusing(bool fusing);

}  // namespace choir::kernels
