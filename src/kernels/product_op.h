// ggml's operations on packed weights: MUL_MAT, MUL_MAT_ID, GET_ROWS. Called by every thread of a
// graph at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/weights.h"

struct ggml_compute_params;

namespace choir::kernels {

std::size_t product_work_bytes(int threads, const ggml_tensor* op);
void compute_product(const ggml_compute_params& params, ggml_tensor* op);

std::size_t expert_product_work_bytes(int threads, const ggml_tensor* op);
void compute_expert_product(const ggml_compute_params& params, ggml_tensor* op);

void compute_get_rows(const ggml_compute_params& params, ggml_tensor* op);

// What fused operations are made of.

// Up to here every thread makes all rows ready for itself, which is sooner than to wait for
// another.
inline constexpr std::int64_t kRowsPreparedTwice = 2;

// One packed matrix times rows [row_begin, row_begin + rows) of x.
struct MatrixProduct {
  const PackedWeight& weight;
  std::int64_t matrix = 0;
  const ggml_tensor* x = nullptr;
  std::int64_t row_begin = 0;
  std::int64_t rows = 0;
  float* out = nullptr;             // [rows][weight.shape.rows]
  const float* residual = nullptr;  // like out, added; or null
  const std::byte* next = nullptr;  // weights that this thread reads afterwards
};
std::size_t matrix_work_bytes(int threads, const PackedShape& shape, std::int64_t rows);
void compute_matrix(const ggml_compute_params& params, const MatrixProduct& work);

// The work buffer from its first cache line on. ggml gives a line more than was asked for.
std::byte* work_line(const ggml_compute_params& params);
// Part `part` of `parts` of all groups; where it begins. next: the weights that this thread reads
// afterwards, or null.
void multiply_part(const Product& product, int part, int parts, const std::byte* next);
// Weights up to `end`, then those at `next`, if there are any.
WeightRun run_to(const std::byte* end, const std::byte* next);
const std::byte* part_begin(const PackedWeight& weight, int part, int parts);

// A product in shares that get smaller, so that threads that take one after the other end together.
class Shares {
 public:
  struct Part {
    std::int64_t begin = 0;
    std::int64_t end = 0;  // begin: no share is left
  };
  // total: what is shared out, such as groups. No share but the last is smaller than `least`.
  Shares(std::int64_t total, std::int64_t least, int threads);
  Part part(std::int64_t index) const;

 private:
  std::int64_t total_;
  std::int64_t divisor_;
  std::int64_t least_;
};
// The smallest share of what has so many products each.
std::int64_t least_share(std::int64_t products_each);

// All threads: none begins before all are here; the counter from which they take shares is then at
// its start.
void meet(const ggml_compute_params& params);

}  // namespace choir::kernels
