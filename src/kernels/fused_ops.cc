#include "kernels/fused_ops.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/fusion.h"
#include "kernels/kernel_table.h"
#include "kernels/product_op.h"

namespace choir::kernels {
namespace {

// Rows that share cache lines, or the vectors of a tile, stay with one thread.
constexpr std::int64_t kRowsTogether = 16;

float* row_of(const ggml_tensor* tensor, std::int64_t row) {
  return static_cast<float*>(tensor->data) + row * tensor->ne[0];
}

// Where share `part` of `parts` of all rows begins.
std::int64_t row_begin(std::int64_t rows, int part, int parts) {
  const std::int64_t together = rows >= kRowsTogether * parts ? kRowsTogether : 1;
  return std::min(rows, (rows / together * part + parts - 1) / parts * together);
}

void compute_norms(const ggml_compute_params& params, const Fused& fused) {
  const ggml_tensor* first = fused.steps[0].x;
  const std::int64_t rows = ggml_nrows(first);
  const std::int64_t columns = first->ne[0];
  const std::int64_t end =
      params.ith + 1 == params.nth ? rows : row_begin(rows, params.ith + 1, params.nth);
  float* own = static_cast<float*>(params.wdata) + params.ith * columns;
  const KernelTable& table = *active_table();
  for (std::int64_t row = row_begin(rows, params.ith, params.nth); row < end; ++row)
    for (int i = 0; i < fused.count; ++i) {
      const NormStep& step = fused.steps[static_cast<std::size_t>(i)];
      NormRow norm;
      norm.x = row_of(step.x, row);
      norm.weight = static_cast<const float*>(step.weight->data);
      norm.residual = step.residual == nullptr ? nullptr : row_of(step.residual, row);
      norm.epsilon = step.epsilon;
      norm.columns = columns;
      float* out = step.out == nullptr ? own : row_of(step.out, row);
      table.norm_row(norm, out);
      for (const int index : step.ready) {
        if (index < 0) break;
        const ReadyRows& ready = fused.plan->ready(index);
        const int most = table.rows_max_of(ready.shape.type);
        table.prepare_row(ready.shape, out, place_row(row, rows, most), ready.data);
      }
    }
}

Product product_of(const Fused& fused, const FusedProduct& one) {
  const ReadyRows& ready = fused.plan->ready(one.ready);
  Product product;
  product.shape = one.weight.shape;
  product.weights = one.weight.matrix(0);
  product.prepared = ready.data;
  product.rows = ready.rows;
  product.c = static_cast<float*>(one.out->data);
  product.c_stride = one.weight.shape.rows;
  if (one.residual != nullptr) product.residual = static_cast<const float*>(one.residual->data);
  return product;
}

void compute_products(const ggml_compute_params& params, const Fused& fused) {
  const FusedProduct& only = fused.products[0];
  if (only.ready < 0) {
    compute_matrix(
        params,
        {only.weight, 0, only.x, 0, ggml_nrows(only.x), static_cast<float*>(only.out->data),
         only.residual == nullptr ? nullptr : static_cast<const float*>(only.residual->data)});
    return;
  }
  const std::int64_t rows = fused.plan->ready(only.ready).rows;
  if (params.nth == 1 || rows <= kRowsPreparedTwice) {
    // One long run of weights for each thread.
    for (int i = 0; i < fused.count; ++i)
      multiply_part(product_of(fused, fused.products[static_cast<std::size_t>(i)]), params.ith,
                    params.nth);
    return;
  }
  // Shares run through all products, so that threads meet once.
  std::array<Product, Fused::kProducts> products;
  std::int64_t total = 0;
  for (int i = 0; i < fused.count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    products[at] = product_of(fused, fused.products[at]);
    total += products[at].shape.groups();
  }
  const Shares shares(total, products[0].shape.columns * kGroupRows * rows, params.nth);
  for (;;) {
    auto [begin, end] = shares.part(fused.next.fetch_add(1, std::memory_order_relaxed));
    if (begin == end) return;
    for (int i = 0; i < fused.count && end > 0; ++i) {
      const Product& product = products[static_cast<std::size_t>(i)];
      const std::int64_t groups = product.shape.groups();
      if (begin < groups) multiply_groups(product, begin, std::min(end, groups));
      begin = std::max<std::int64_t>(0, begin - groups);
      end -= groups;
    }
  }
}

void compute_glu(const ggml_compute_params& params, const Fused& fused) {
  const FusedGlu& glu = fused.glu;
  const ReadyRows& from = fused.plan->ready(glu.from);
  const ReadyRows& to = fused.plan->ready(glu.to);
  GluProduct product;
  product.shape = glu.gate.shape;
  product.gate = glu.gate.matrix(0);
  product.up = glu.up.matrix(0);
  product.kind = glu.kind;
  product.prepared = from.data;
  product.rows = from.rows;
  product.to_shape = to.shape;
  product.to = to.data;

  const std::int64_t blocks = product.shape.rows / kBlockColumns;
  if (params.nth == 1 || product.rows <= kRowsPreparedTwice) {
    const std::int64_t end = blocks * (params.ith + 1) / params.nth;
    return multiply_glu_blocks(product, blocks * params.ith / params.nth, end);
  }
  const Shares shares(blocks, 2 * product.shape.columns * kBlockColumns * product.rows, params.nth);
  for (;;) {
    const auto [begin, end] = shares.part(fused.next.fetch_add(1, std::memory_order_relaxed));
    if (begin == end) return;
    multiply_glu_blocks(product, begin, end);
  }
}

}  // namespace

std::size_t fused_work_bytes(int threads, const ggml_tensor* op) {
  const Fused& fused = fused_of(op);
  switch (fused.kind) {
    case Fused::Kind::kNorms:
      return static_cast<std::size_t>(threads * fused.steps[0].x->ne[0]) * sizeof(float);
    case Fused::Kind::kProducts: {
      const FusedProduct& one = fused.products[0];
      return one.ready >= 0 ? 0 : matrix_work_bytes(threads, one.weight.shape, ggml_nrows(one.x));
    }
    case Fused::Kind::kGlu:
      return 0;
  }
  return 0;
}

void compute_fused(const ggml_compute_params& params, ggml_tensor* op) {
  const Fused& fused = fused_of(op);
  switch (fused.kind) {
    case Fused::Kind::kNorms:
      return compute_norms(params, fused);
    case Fused::Kind::kProducts:
      return compute_products(params, fused);
    case Fused::Kind::kGlu:
      return compute_glu(params, fused);
  }
}

}  // namespace choir::kernels
