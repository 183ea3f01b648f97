#include "kernels/fused_ops.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/fused_heads.h"
#include "kernels/fusion.h"
#include "kernels/kernel_table.h"
#include "kernels/product_op.h"
#include "kernels/shares.h"

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

// The products of a run without what they read and write, in `memory`.
using Products = std::array<Product, Fused::kProducts>;
std::span<Product> products_of(const Fused& fused, Products& memory) {
  const std::span<Product> products =
      std::span(memory).first(static_cast<std::size_t>(fused.count));
  for (std::size_t i = 0; i < products.size(); ++i) {
    const FusedProduct& one = fused.products[i];
    products[i].shape = one.weight.shape;
    products[i].weights = one.weight.matrix(0);
    products[i].rows = one.ready < 0 ? ggml_nrows(one.x) : fused.plan->ready(one.ready).rows;
  }
  return products;
}

// A unit of columns of quantized weights is long: where each thread has a few, they wait for the
// last. Then few rows are united in short pieces, in memory of all, and the thread that unites the
// last piece of a unit makes the unit ready. Many rows would be too much memory; they come in parts
// instead.
constexpr std::int64_t kRowsWhole = 128;
constexpr std::int64_t kRowsOfPart = 128;
constexpr std::int64_t kPartsEach = 4;  // at least so many for each thread, where rows allow it

bool in_pieces(int threads, const ReadyRows& to) {
  if (threads == 1 || is_floating(to.shape.type) || to.rows > kRowsWhole) return false;
  const std::int64_t units = to.shape.columns / ready_columns(to.shape.type);
  return to.rows <= kRowsPreparedTwice || is_of_k(to.shape.type) || units < kPartsEach * threads;
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

// A gated unit without what it reads and writes.
GluProduct glu_of(const Fused& fused, int threads) {
  const FusedGlu& glu = fused.glu;
  const ReadyRows& to = fused.plan->ready(glu.to);
  GluProduct product;
  product.shape = glu.gate.shape;
  product.gate = glu.gate.matrix(0);
  product.up = glu.up.matrix(0);
  product.kind = glu.kind;
  product.rows = fused.plan->ready(glu.from).rows;
  product.to_shape = to.shape;
  product.whole = in_pieces(threads, to);
  return product;
}

// Rows that pass over all units before the others do.
std::int64_t rows_together(const GluProduct& product, int threads) {
  const bool parted = threads > 1 && !is_floating(product.to_shape.type) && !product.whole &&
                      product.units() < kPartsEach * threads;
  // There are none where a graph computes no output.
  const std::int64_t rows = std::max<std::int64_t>(1, product.rows);
  return parted ? std::min(kRowsOfPart, rows) : rows;
}

// Of all units of all parts of rows.
Shares shares_of(const GluProduct& product, int threads) {
  const std::int64_t together = rows_together(product, threads);
  const std::int64_t parts = (product.rows + together - 1) / together;
  return {product.units() * parts,
          least_share(2 * product.shape.columns * product.unit_columns() * together), threads};
}

// Where unit `unit` begins, in bytes of the gate's weights or the other ones.
std::size_t unit_offset(const GluProduct& product, std::int64_t unit) {
  const std::int64_t column = std::min(unit * product.unit_columns(), product.shape.rows);
  return static_cast<std::size_t>(column / kGroupRows) * product.shape.group_bytes();
}

// Where this thread begins to read the weights of the run behind `fused`; null: nothing is known.
const std::byte* next_weights(const ggml_compute_params& params, const Fused& fused) {
  const Fused* then = fused.then;
  if (then == nullptr) return nullptr;
  if (then->kind == Fused::Kind::kGlu) {
    const GluProduct product = glu_of(*then, params.nth);
    const Shares::Part first = shares_of(product, params.nth).part(params.ith);
    return product.gate + unit_offset(product, first.begin % product.units());
  }
  Products memory;
  return first_weights(params, products_of(*then, memory));
}

void compute_products(const ggml_compute_params& params, const Fused& fused) {
  const FusedProduct& only = fused.products[0];
  const std::byte* next = next_weights(params, fused);
  if (only.ready < 0) {
    compute_matrix(
        params,
        {only.weight, 0, only.x, 0, ggml_nrows(only.x), static_cast<float*>(only.out->data),
         only.residual == nullptr ? nullptr : static_cast<const float*>(only.residual->data), next,
         &fused.taken});
    return;
  }
  const std::byte* rows = rows_of(params, fused, only.ready);
  Products memory;
  const std::span<Product> products = products_of(fused, memory);
  for (std::size_t i = 0; i < products.size(); ++i) {
    const FusedProduct& one = fused.products[i];
    products[i].prepared = rows;
    products[i].c = static_cast<float*>(one.out->data);
    products[i].c_stride = one.weight.shape.rows;
    if (one.residual != nullptr)
      products[i].residual = static_cast<const float*>(one.residual->data);
  }
  multiply_shares(params, products, fused.taken, next);
}

// Then the thread reads the weights of unit `after`, or where that is negative those at `next`,
// which may be null.
void multiply_units(GluProduct product, Shares::Part units, std::int64_t after,
                    const std::byte* next) {
  const std::size_t end = unit_offset(product, units.end);
  if (after >= 0) {
    product.gate_run = run_to(product.gate + end, product.gate + unit_offset(product, after));
    product.up_run = run_to(product.up + end, product.up + unit_offset(product, after));
  } else if (next != nullptr) {
    product.gate_run = run_to(product.gate + end, next);
    product.up_run = run_to(product.up + end, next + kWeightsAhead);
  }
  active_table()->multiply_glu(product, units.begin, units.end);
}

// Pieces [begin, end) are united, in the memory of all.
void finish_units(const Fused& fused, GluProduct product, Shares::Part pieces) {
  const std::int64_t all = product.units();
  const std::int64_t columns = ready_columns(product.to_shape.type);
  const std::int64_t each = columns / product.unit_columns();
  product.whole = false;
  float* const scratch = product.scratch;
  while (!pieces.empty()) {
    const std::int64_t unit = pieces.begin / each;
    const std::int64_t end = std::min(pieces.end, (unit + 1) * each);
    const auto done = static_cast<std::int32_t>(end - pieces.begin);
    // Acquires what the threads before have united.
    const std::int32_t before =
        fused.pieces[static_cast<std::size_t>(unit)].fetch_add(done, std::memory_order_acq_rel);
    if (before + done == std::min(each, all - unit * each)) {
      product.scratch = scratch + unit * columns;
      active_table()->store_unit(product, unit);
    }
    pieces.begin = end;
  }
}

void compute_glu(const ggml_compute_params& params, const Fused& fused) {
  const ReadyRows& to = fused.plan->ready(fused.glu.to);
  GluProduct product = glu_of(fused, params.nth);
  product.prepared = rows_of(params, fused, fused.glu.from);
  product.to = to.data;
  product.scratch_stride = product.whole ? to.shape.columns : ready_columns(to.shape.type);
  std::byte* scratch =
      work_line(params) + glu_rows_bytes(fused) * static_cast<std::size_t>(params.nth);
  if (!product.whole)
    scratch += scratch_bytes(params.nth, to) * static_cast<std::size_t>(params.ith);
  product.scratch = reinterpret_cast<float*>(scratch);

  const std::byte* next = next_weights(params, fused);
  const std::int64_t units = product.units();
  const std::int64_t together = rows_together(product, params.nth);
  take_shares(
      shares_of(product, params.nth), params.ith, [&] { return take_of(fused.taken, params); },
      [&](Shares::Part part, Shares::Part after) {
        const std::int64_t behind = after.empty() ? -1 : after.begin % units;
        while (!part.empty()) {  // of each part of rows
          const std::int64_t row = part.begin / units * together;
          const std::int64_t begin = part.begin % units;
          const Shares::Part here = {begin, std::min(units, begin + part.end - part.begin)};
          part.begin += here.end - here.begin;
          multiply_units(part_of(product, row, std::min(together, product.rows - row)), here,
                         part.empty() ? behind : 0, next);
          if (product.whole) finish_units(fused, product, here);
        }
      });
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
