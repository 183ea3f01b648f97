// ggml's operations on packed weights: MUL_MAT, MUL_MAT_ID, GET_ROWS. Called by every thread of a
// graph at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

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
  // See take_of(). Null: one row or two are shared out in equal parts, and `next` is not read.
  std::atomic<std::int64_t>* taken = nullptr;
};
std::size_t matrix_work_bytes(int threads, const PackedShape& shape, std::int64_t rows);
void compute_matrix(const ggml_compute_params& params, const MatrixProduct& work);

// The work buffer from its first cache line on. ggml gives a line more than was asked for.
std::byte* work_line(const ggml_compute_params& params);
// Products that are computed together, as one run of groups that threads share out. taken: see
// take_of(). next: the weights that this thread reads afterwards, or null.
void multiply_shares(const ggml_compute_params& params, std::span<const Product> products,
                     std::atomic<std::int64_t>& taken, const std::byte* next);
// Where a thread begins to read the weights of such products; null: it has none of them.
const std::byte* first_weights(const ggml_compute_params& params,
                               std::span<const Product> products);
// Weights up to `end`, then those at `next`, if there are any.
WeightRun run_to(const std::byte* end, const std::byte* next);

}  // namespace choir::kernels
