#include "kernels/product_op.h"

#include <ggml-cpu.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/kernel_table.h"
#include "kernels/shares.h"
#include "kernels/weights.h"

namespace choir::kernels {
namespace {

// A share of an expert's product: there are many of them.
constexpr std::int64_t kExpertProducts = 1'500'000;

const float* row_of(const ggml_tensor* tensor, std::int64_t i1, std::int64_t i2, std::int64_t i3) {
  return reinterpret_cast<const float*>(
      static_cast<const char*>(tensor->data) + static_cast<std::size_t>(i1) * tensor->nb[1] +
      static_cast<std::size_t>(i2) * tensor->nb[2] + static_cast<std::size_t>(i3) * tensor->nb[3]);
}

float* row_of(ggml_tensor* tensor, std::int64_t i1, std::int64_t i2, std::int64_t i3) {
  return const_cast<float*>(row_of(static_cast<const ggml_tensor*>(tensor), i1, i2, i3));
}

}  // namespace

std::byte* work_line(const ggml_compute_params& params) {
  const std::size_t past = reinterpret_cast<std::uintptr_t>(params.wdata) % 64;
  return static_cast<std::byte*>(params.wdata) + (past == 0 ? 0 : 64 - past);
}

namespace {

Shares shares_of(std::span<const Product> products, int threads) {
  const Product& first = products.front();
  std::int64_t groups = 0;
  for (const Product& product : products) groups += product.shape.groups();
  return {groups, least_share(first.shape.columns * kGroupRows * first.rows), threads};
}

const std::byte* weights_at(const Product& product, std::int64_t group) {
  return product.weights + static_cast<std::size_t>(group) * product.shape.group_bytes();
}
const std::byte* weights_at(std::span<const Product> products, std::int64_t group) {
  for (const Product& product : products) {
    if (group < product.shape.groups()) return weights_at(product, group);
    group -= product.shape.groups();
  }
  return nullptr;
}

// Share `part`; the thread reads the weights at `next` afterwards, or that is null.
void multiply_share(std::span<const Product> products, Shares::Part part, const std::byte* next) {
  for (std::size_t i = 0; i < products.size() && part.end > 0; ++i) {
    const std::int64_t groups = products[i].shape.groups();
    if (part.begin < groups) {
      Product run = products[i];
      const std::int64_t end = std::min(part.end, groups);
      run.run = run_to(weights_at(run, end), part.end > groups ? products[i + 1].weights : next);
      active_table()->multiply(run, part.begin, end);
    }
    part.begin = std::max<std::int64_t>(0, part.begin - groups);
    part.end -= groups;
  }
}

template <class Take>
void multiply_taken(const ggml_compute_params& params, std::span<const Product> products,
                    const Take& take, const std::byte* next) {
  take_shares(shares_of(products, params.nth), params.ith, take,
              [&](Shares::Part part, Shares::Part after) {
                multiply_share(products, part,
                               after.empty() ? next : weights_at(products, after.begin));
              });
}

}  // namespace

void multiply_shares(const ggml_compute_params& params, std::span<const Product> products,
                     std::atomic<std::int64_t>& taken, const std::byte* next) {
  multiply_taken(
      params, products, [&] { return take_of(taken, params); }, next);
}

const std::byte* first_weights(const ggml_compute_params& params,
                               std::span<const Product> products) {
  return weights_at(products, shares_of(products, params.nth).part(params.ith).begin);
}

WeightRun run_to(const std::byte* end, const std::byte* next) {
  return next == nullptr ? WeightRun() : WeightRun{end, next - end};
}

void compute_matrix(const ggml_compute_params& params, const MatrixProduct& work) {
  const PackedShape& shape = work.weight.shape;
  const ggml_tensor* x = work.x;
  const std::int64_t rows = work.rows;
  const int most = active_table()->rows_max_of(shape.type);
  // Whole tiles to a thread, whose rows share cache lines.
  const std::int64_t run = rows >= most * params.nth ? most : 1;
  const bool alone = params.nth == 1 || rows <= kRowsPreparedTwice;
  std::byte* prepared = work_line(params);
  if (alone) prepared += static_cast<std::size_t>(params.ith * rows) * prepared_bytes(shape);
  for (std::int64_t row = 0; row < rows; ++row) {
    if (!alone && row / run % params.nth != params.ith) continue;
    const std::int64_t at = work.row_begin + row;
    const std::int64_t i1 = at % x->ne[1];
    const std::int64_t i2 = at / x->ne[1] % x->ne[2];
    const std::int64_t i3 = at / (x->ne[1] * x->ne[2]);
    active_table()->prepare_row(shape, row_of(x, i1, i2, i3), place_row(row, rows, most), prepared);
  }
  Product product;
  product.shape = shape;
  product.weights = work.weight.matrix(work.matrix);
  product.prepared = prepared;
  product.rows = rows;
  product.c = work.out;
  product.c_stride = shape.rows;
  product.residual = work.residual;
  if (work.taken != nullptr) {
    if (!alone) ggml_barrier(params.threadpool);
    return multiply_shares(params, {&product, 1}, *work.taken, work.next);
  }
  if (!alone) {
    meet(params);
    return multiply_taken(
        params, {&product, 1}, [&] { return take_of_pool(params); }, work.next);
  }
  const std::int64_t groups = shape.groups();
  active_table()->multiply(product, groups * params.ith / params.nth,
                           groups * (params.ith + 1) / params.nth);
}

namespace {

// A view that is no whole matrix: row by row from numbers. Right, not fast.
void compute_view(const ggml_compute_params& params, ggml_tensor* op) {
  const ggml_tensor* w = op->src[0];
  const ggml_tensor* x = op->src[1];
  float* values = static_cast<float*>(params.wdata) + params.ith * w->ne[0];
  for (std::int64_t i3 = 0; i3 < op->ne[3]; ++i3)
    for (std::int64_t i2 = 0; i2 < op->ne[2]; ++i2)
      for (std::int64_t i0 = params.ith; i0 < op->ne[0]; i0 += params.nth) {
        unpack_view_row(w, i0, i2 / (x->ne[2] / w->ne[2]), i3 / (x->ne[3] / w->ne[3]), values);
        for (std::int64_t i1 = 0; i1 < op->ne[1]; ++i1) {
          const auto* from = reinterpret_cast<const char*>(row_of(x, i1, i2, i3));
          float sum = 0.0F;
          for (std::int64_t k = 0; k < w->ne[0]; ++k)
            sum += values[k] *
                   *reinterpret_cast<const float*>(from + static_cast<std::size_t>(k) * x->nb[0]);
          row_of(op, i1, i2, i3)[i0] = sum;
        }
      }
}

// Whether the fast path can read these activations and write this output.
bool plain(const ggml_tensor* op) {
  return op->src[1]->type == GGML_TYPE_F32 && op->src[1]->nb[0] == sizeof(float) &&
         ggml_is_contiguous(op);
}

}  // namespace

std::size_t product_work_bytes(int threads, const ggml_tensor* op) {
  const PackedWeight weight = packed_view(op->src[0]);
  const auto view = static_cast<std::size_t>(threads * op->src[0]->ne[0]) * sizeof(float);
  if (weight.count == 0) return view;
  const std::int64_t rows = weight.count == 1 ? ggml_nrows(op->src[1]) : op->src[1]->ne[1];
  return std::max(view, matrix_work_bytes(threads, weight.shape, rows));
}

std::size_t matrix_work_bytes(int threads, const PackedShape& shape, std::int64_t rows) {
  const std::int64_t copies = rows <= kRowsPreparedTwice ? threads : 1;
  return prepared_bytes(shape) * static_cast<std::size_t>(rows * copies);
}

void compute_product(const ggml_compute_params& params, ggml_tensor* op) {
  const PackedWeight weight = packed_view(op->src[0]);
  if (weight.count == 0 || !plain(op)) return compute_view(params, op);
  const ggml_tensor* w = op->src[0];
  const ggml_tensor* x = op->src[1];
  const auto compute = [&](std::int64_t matrix, std::int64_t row_begin, std::int64_t rows) {
    float* out = static_cast<float*>(op->data) + row_begin * op->ne[0];
    compute_matrix(params, {weight, matrix, x, row_begin, rows, out, nullptr, nullptr});
  };
  if (weight.count == 1) return compute(0, 0, ggml_nrows(x));
  for (std::int64_t i3 = 0; i3 < x->ne[3]; ++i3)
    for (std::int64_t i2 = 0; i2 < x->ne[2]; ++i2) {
      if (i2 + i3 > 0) ggml_barrier(params.threadpool);  // the last matrix's rows are still read
      const std::int64_t matrix =
          i3 / (x->ne[3] / w->ne[3]) * w->ne[2] + i2 / (x->ne[2] / w->ne[2]);
      compute(matrix, (i3 * x->ne[2] + i2) * x->ne[1], x->ne[1]);
    }
}

namespace {

// A row of activations for one expert, and where its output goes.
struct ExpertRow {
  const float* from;
  float* to;
};

// What MUL_MAT_ID's threads share, laid out in the work buffer.
struct ExpertWork {
  std::int64_t* begins;  // [experts + 1]
  ExpertRow* rows;       // [all], expert by expert
  float** outputs;       // [all]
  std::byte* prepared;
};

std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

ExpertWork expert_work(void* memory, std::int64_t experts, std::int64_t rows) {
  auto* at = static_cast<std::byte*>(memory);
  const auto take = [&](std::size_t bytes) {
    std::byte* taken = at;
    at += aligned(bytes);
    return taken;
  };
  ExpertWork work = {};
  const auto count = static_cast<std::size_t>(rows);
  work.begins = reinterpret_cast<std::int64_t*>(
      take(static_cast<std::size_t>(experts + 1) * sizeof(std::int64_t)));
  work.rows = reinterpret_cast<ExpertRow*>(take(count * sizeof(ExpertRow)));
  work.outputs = reinterpret_cast<float**>(take(count * sizeof(float*)));
  work.prepared = at;
  return work;
}

// One thread: rows by expert, in the order of tokens.
void sort_rows(ggml_tensor* op, const ExpertWork& work, std::int64_t experts) {
  const ggml_tensor* x = op->src[1];
  const ggml_tensor* ids = op->src[2];
  const auto expert_of = [&](std::int64_t slot, std::int64_t token) {
    return *reinterpret_cast<const std::int32_t*>(static_cast<const char*>(ids->data) +
                                                  static_cast<std::size_t>(slot) * ids->nb[0] +
                                                  static_cast<std::size_t>(token) * ids->nb[1]);
  };
  std::fill(work.begins, work.begins + experts + 1, 0);
  for (std::int64_t token = 0; token < ids->ne[1]; ++token)
    for (std::int64_t slot = 0; slot < ids->ne[0]; ++slot) {
      const std::int32_t expert = expert_of(slot, token);
      CHOIR_CHECK(expert >= 0 && expert < experts,
                  "the router chooses among the experts there are");
      ++work.begins[expert + 1];
    }
  for (std::int64_t expert = 0; expert < experts; ++expert)
    work.begins[expert + 1] += work.begins[expert];
  for (std::int64_t token = ids->ne[1]; --token >= 0;)
    for (std::int64_t slot = ids->ne[0]; --slot >= 0;) {
      const std::int64_t at = --work.begins[expert_of(slot, token) + 1];
      work.rows[at] = {row_of(x, slot % x->ne[1], token, 0), row_of(op, slot, token, 0)};
      work.outputs[at] = work.rows[at].to;
    }
  // Filling moved each end back to its beginning.
  for (std::int64_t expert = 0; expert < experts; ++expert)
    work.begins[expert] = work.begins[expert + 1];
  work.begins[experts] = ids->ne[0] * ids->ne[1];
}

}  // namespace

std::size_t expert_product_work_bytes(int threads, const ggml_tensor* op) {
  (void)threads;
  const PackedWeight weight = packed_view(op->src[0]);
  const auto rows = static_cast<std::size_t>(op->src[2]->ne[0] * op->src[2]->ne[1]);
  return aligned(static_cast<std::size_t>(op->src[0]->ne[2] + 1) * sizeof(std::int64_t)) +
         aligned(rows * sizeof(ExpertRow)) + aligned(rows * sizeof(float*)) +
         rows * prepared_bytes(weight.shape);
}

void compute_expert_product(const ggml_compute_params& params, ggml_tensor* op) {
  const PackedWeight weight = packed_view(op->src[0]);
  CHOIR_CHECK(weight.count == op->src[0]->ne[2] && plain(op), "experts are whole weights");
  const std::int64_t all = op->src[2]->ne[0] * op->src[2]->ne[1];
  const ExpertWork work = expert_work(params.wdata, weight.count, all);
  if (params.ith == 0) sort_rows(op, work, weight.count);
  ggml_barrier(params.threadpool);

  const std::size_t row_bytes = prepared_bytes(weight.shape);
  const int most = active_table()->rows_max_of(weight.shape.type);
  for (std::int64_t expert = 0; expert < weight.count; ++expert) {
    const std::int64_t begin = work.begins[expert];
    const std::int64_t rows = work.begins[expert + 1] - begin;
    std::byte* prepared = work.prepared + static_cast<std::size_t>(begin) * row_bytes;
    for (std::int64_t row = 0; row < rows; ++row)
      if ((begin + row) % params.nth == params.ith)
        active_table()->prepare_row(weight.shape, work.rows[begin + row].from,
                                    place_row(row, rows, most), prepared);
  }
  meet(params);

  // Shares run through all experts, so that threads meet once.
  const std::int64_t products = weight.shape.columns * kGroupRows * (1 + all / weight.count);
  const std::int64_t each =
      std::clamp<std::int64_t>(kExpertProducts / products, 1, weight.shape.groups());
  const std::int64_t shares = (weight.shape.groups() + each - 1) / each;
  for (std::int64_t share = params.ith; share < shares * weight.count;
       share = params.nth == 1 ? share + 1 : ggml_threadpool_chunk_add(params.threadpool, 1)) {
    const std::int64_t expert = share / shares;
    const std::int64_t begin = work.begins[expert];
    Product product;
    product.shape = weight.shape;
    product.weights = weight.matrix(expert);
    product.prepared = work.prepared + static_cast<std::size_t>(begin) * row_bytes;
    product.rows = work.begins[expert + 1] - begin;
    product.c_rows = work.outputs + begin;
    const std::int64_t group = share % shares * each;
    if (product.rows > 0)
      active_table()->multiply(product, group, std::min(weight.shape.groups(), group + each));
  }
}

void compute_get_rows(const ggml_compute_params& params, ggml_tensor* op) {
  const ggml_tensor* w = op->src[0];
  const ggml_tensor* ids = op->src[1];
  const PackedWeight weight = packed_view(w);
  const std::int64_t rows = ggml_nelements(ids);
  for (std::int64_t at = params.ith; at < rows; at += params.nth) {
    const std::int64_t i1 = at % ids->ne[0];
    const std::int64_t i2 = at / ids->ne[0] % ids->ne[1];
    const std::int64_t i3 = at / (ids->ne[0] * ids->ne[1]);
    const std::int32_t row = *reinterpret_cast<const std::int32_t*>(
        static_cast<const char*>(ids->data) + static_cast<std::size_t>(i1) * ids->nb[0] +
        static_cast<std::size_t>(i2) * ids->nb[1] + static_cast<std::size_t>(i3) * ids->nb[2]);
    CHOIR_CHECK(row >= 0 && row < w->ne[1], "the engine asks for rows that exist");
    if (weight.count == 0)
      unpack_view_row(w, row, i2, i3, row_of(op, i1, i2, i3));
    else
      unpack_row(weight.shape, weight.matrix(i3 * w->ne[2] + i2), row, row_of(op, i1, i2, i3));
  }
}

}  // namespace choir::kernels
