#include "kernels/fused_ops.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/fused_heads.h"
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

NormRow norm_of(const NormStep& step, std::int64_t row) {
  NormRow norm;
  norm.x = row_of(step.x, row);
  norm.weight = static_cast<const float*>(step.weight->data);
  norm.residual = step.residual == nullptr ? nullptr : row_of(step.residual, row);
  norm.epsilon = step.epsilon;
  norm.columns = step.x->ne[0];
  return norm;
}

// What a thread needs to make rows ready for itself: them, and one row of floats. Whole lines.
std::size_t own_rows_bytes(const ReadyRows& ready) {
  const std::size_t bytes = prepared_bytes(ready.shape) * static_cast<std::size_t>(ready.rows) +
                            static_cast<std::size_t>(ready.shape.columns) * sizeof(float);
  return (bytes + 63) / 64 * 64;
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
      float* out = step.out == nullptr ? own : row_of(step.out, row);
      table.norm_row(norm_of(step, row), out);
      for (const int index : step.ready) {
        if (index < 0) break;
        const ReadyRows& ready = fused.plan->ready(index);
        const int most = table.rows_max_of(ready.shape.type);
        table.prepare_row(ready.shape, out, place_row(row, rows, most), ready.data);
      }
    }
}

// The rows that a run reads, where they lie: made by another node, or by this thread for itself.
std::byte* rows_of(const ggml_compute_params& params, const Fused& fused, int index) {
  const ReadyRows& ready = fused.plan->ready(index);
  if (!fused.norm_first) return ready.data;
  const std::size_t bytes = own_rows_bytes(ready);
  std::byte* own = work_line(params) + bytes * static_cast<std::size_t>(params.ith);
  auto* normed = reinterpret_cast<float*>(own + bytes) - ready.shape.columns;
  const KernelTable& table = *active_table();
  for (std::int64_t row = 0; row < ready.rows; ++row) {
    table.norm_row(norm_of(fused.steps[0], row), normed);
    table.prepare_row(ready.shape, normed,
                      place_row(row, ready.rows, table.rows_max_of(ready.shape.type)), own);
  }
  return own;
}

// Where this thread begins to read the weights of the run behind `fused`; null: nothing is known.
const std::byte* next_weights(const ggml_compute_params& params, const Fused& fused) {
  const Fused* then = fused.then;
  if (then == nullptr) return nullptr;
  return part_begin(then->kind == Fused::Kind::kGlu ? then->glu.gate : then->products[0].weight,
                    params.ith, params.nth);
}

Product product_of(const ReadyRows& ready, const std::byte* rows, const FusedProduct& one) {
  Product product;
  product.shape = one.weight.shape;
  product.weights = one.weight.matrix(0);
  product.prepared = rows;
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
         only.residual == nullptr ? nullptr : static_cast<const float*>(only.residual->data),
         next_weights(params, fused)});
    return;
  }
  const ReadyRows& ready = fused.plan->ready(only.ready);
  const std::int64_t rows = ready.rows;
  const std::byte* data = rows_of(params, fused, only.ready);
  if (params.nth == 1 || rows <= kRowsPreparedTwice) {
    // One long run of weights for each thread.
    for (int i = 0; i < fused.count; ++i) {
      const FusedProduct& one = fused.products[static_cast<std::size_t>(i)];
      const std::byte* next =
          i + 1 < fused.count ? part_begin(fused.products[static_cast<std::size_t>(i) + 1].weight,
                                           params.ith, params.nth)
                              : next_weights(params, fused);
      multiply_part(product_of(ready, data, one), params.ith, params.nth, next);
    }
    return;
  }
  // Shares run through all products, so that threads meet once.
  std::array<Product, Fused::kProducts> products;
  std::int64_t total = 0;
  for (int i = 0; i < fused.count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    products[at] = product_of(ready, data, fused.products[at]);
    total += products[at].shape.groups();
  }
  const Shares shares(total, least_share(products[0].shape.columns * kGroupRows * rows),
                      params.nth);
  for (;;) {
    auto [begin, end] = shares.part(fused.next.fetch_add(1, std::memory_order_relaxed));
    if (begin == end) return;
    for (int i = 0; i < fused.count && end > 0; ++i) {
      const Product& product = products[static_cast<std::size_t>(i)];
      const std::int64_t groups = product.shape.groups();
      if (begin < groups) active_table()->multiply(product, begin, std::min(end, groups));
      begin = std::max<std::int64_t>(0, begin - groups);
      end -= groups;
    }
  }
}

// A unit of columns of quantized weights is long: where each thread has a few, they wait for the
// last. Then few rows are united in short pieces, in memory of all, and made ready when all are
// there. Many rows would be too much memory; they come in parts instead. One row or two are united
// by each thread for itself, and come in pieces only where units are shared out unevenly.
constexpr std::int64_t kRowsWhole = 128;
constexpr std::int64_t kRowsOfPart = 128;
constexpr std::int64_t kPartsEach = 4;  // at least so many for each thread, where rows allow it

bool in_pieces(int threads, const ReadyRows& to) {
  if (threads == 1 || is_floating(to.shape.type) || to.rows > kRowsWhole) return false;
  const std::int64_t units = to.shape.columns / ready_columns(to.shape.type);
  if (to.rows > kRowsPreparedTwice) return is_of_k(to.shape.type) || units < kPartsEach * threads;
  const std::int64_t most = (units + threads - 1) / threads;
  return 8 * most * threads > 9 * units;
}

// The scratch memory of a gated unit in the work buffer, in whole lines, behind the rows that
// threads make ready for themselves: of each thread, or of all.
std::size_t glu_rows_bytes(const Fused& fused) {
  return fused.norm_first ? own_rows_bytes(fused.plan->ready(fused.glu.from)) : 0;
}
std::size_t scratch_bytes(int threads, const ReadyRows& to) {
  if (in_pieces(threads, to))
    return static_cast<std::size_t>(to.rows * to.shape.columns) * sizeof(float);
  const auto floats = static_cast<std::size_t>(to.rows * ready_columns(to.shape.type));
  return (floats * sizeof(float) + 63) / 64 * 64;
}

// How many of them there are.
std::size_t scratches(int threads, const ReadyRows& to) {
  return in_pieces(threads, to) ? 1 : static_cast<std::size_t>(threads);
}

// Rows [begin, begin + rows) of a product; begin is that of a tile.
GluProduct part_of(const GluProduct& product, std::int64_t begin, std::int64_t rows) {
  const auto bytes = [&](const PackedShape& shape) {
    return prepared_bytes(shape) * static_cast<std::size_t>(begin);
  };
  GluProduct part = product;
  part.prepared = static_cast<const std::byte*>(product.prepared) + bytes(product.shape);
  part.to = static_cast<std::byte*>(product.to) + bytes(product.to_shape);
  part.rows = rows;
  return part;
}

// One long run of weights for each thread.
void compute_own_glu(const ggml_compute_params& params, const Fused& fused, GluProduct& product) {
  const std::int64_t columns = product.unit_columns();
  const std::int64_t units = product.units();
  const std::int64_t end = units * (params.ith + 1) / params.nth;
  const std::byte* next = next_weights(params, fused);
  if (next != nullptr) {
    const std::size_t bytes =
        static_cast<std::size_t>(std::min(end * columns, product.shape.rows) / kGroupRows) *
        product.shape.group_bytes();
    product.gate_run = run_to(product.gate + bytes, next);
    product.up_run = run_to(product.up + bytes, next + kWeightsAhead);
  }
  active_table()->multiply_glu(product, units * params.ith / params.nth, end);
}

// Threads take shares of all units of all parts of rows until none is left.
void compute_shared_glu(const ggml_compute_params& params, const Fused& fused,
                        const GluProduct& product) {
  const std::int64_t columns = product.unit_columns();
  const std::int64_t units = product.units();
  const bool parted =
      !is_floating(product.to_shape.type) && !product.whole && units < kPartsEach * params.nth;
  const std::int64_t each = parted ? kRowsOfPart : product.rows;
  const std::int64_t parts = (product.rows + each - 1) / each;
  const Shares shares(units * parts, least_share(2 * product.shape.columns * columns * each),
                      params.nth);
  for (;;) {
    auto [begin, end] = shares.part(fused.next.fetch_add(1, std::memory_order_relaxed));
    if (begin == end) return;
    while (begin < end) {
      const std::int64_t row = begin / units * each;
      const std::int64_t last = std::min(end, (begin / units + 1) * units);
      active_table()->multiply_glu(part_of(product, row, std::min(each, product.rows - row)),
                                   begin % units, begin % units + last - begin);
      begin = last;
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
  product.prepared = rows_of(params, fused, glu.from);
  product.rows = from.rows;
  product.to_shape = to.shape;
  product.to = to.data;
  product.whole = in_pieces(params.nth, to);
  product.scratch_stride = product.whole ? to.shape.columns : ready_columns(to.shape.type);
  std::byte* scratch =
      work_line(params) + glu_rows_bytes(fused) * static_cast<std::size_t>(params.nth);
  if (!product.whole)
    scratch += scratch_bytes(params.nth, to) * static_cast<std::size_t>(params.ith);
  product.scratch = reinterpret_cast<float*>(scratch);

  if (params.nth == 1 || product.rows <= kRowsPreparedTwice)
    compute_own_glu(params, fused, product);
  else
    compute_shared_glu(params, fused, product);
  if (!product.whole) return;
  ggml_barrier(params.threadpool);
  const KernelTable& table = *active_table();
  for (std::int64_t row = params.ith; row < to.rows; row += params.nth)
    table.prepare_row(to.shape, product.scratch + row * product.scratch_stride,
                      place_row(row, to.rows, table.rows_max_of(to.shape.type)), to.data);
}

}  // namespace

std::size_t fused_work_bytes(int threads, const ggml_tensor* op) {
  const Fused& fused = fused_of(op);
  switch (fused.kind) {
    case Fused::Kind::kNorms:
      return static_cast<std::size_t>(threads * fused.steps[0].x->ne[0]) * sizeof(float);
    case Fused::Kind::kProducts: {
      const FusedProduct& one = fused.products[0];
      if (fused.norm_first)
        return static_cast<std::size_t>(threads) * own_rows_bytes(fused.plan->ready(one.ready));
      return one.ready >= 0 ? 0 : matrix_work_bytes(threads, one.weight.shape, ggml_nrows(one.x));
    }
    case Fused::Kind::kGlu: {
      const ReadyRows& to = fused.plan->ready(fused.glu.to);
      return static_cast<std::size_t>(threads) * glu_rows_bytes(fused) +
             scratches(threads, to) * scratch_bytes(threads, to);
    }
    case Fused::Kind::kHeads:
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
    case Fused::Kind::kHeads:
      return compute_heads(params, fused);
  }
}

}  // namespace choir::kernels
