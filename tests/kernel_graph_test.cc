// Our operations inside ggml's graphs, random shapes, views and types, against sums in double.
#include "kernel_graph.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/product_op.h"
#include "kernels/rotation_op.h"
#include "kernels/weights.h"

namespace choir::kernels {
namespace {

constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                                GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K,
                                GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_F32};

// Random weights as a file has them, and the numbers that they stand for.
struct File {
  File(ggml_type type, std::int64_t columns, std::int64_t rows, std::mt19937& random)
      : bytes(ggml_row_size(type, columns) * static_cast<std::size_t>(rows)),
        numbers(static_cast<std::size_t>(columns * rows)) {
    const std::vector<float> from = random_numbers(columns * rows, random);
    ggml_quantize_chunk(type, from.data(), bytes.data(), 0, rows, columns, nullptr);
    if (type == GGML_TYPE_F32)
      numbers = from;
    else
      ggml_get_type_traits(type)->to_float(bytes.data(), numbers.data(), columns * rows);
  }
  std::vector<std::byte> bytes;
  std::vector<float> numbers;
};

// Products of int8 activations err by their rounding: relative to the length of both vectors.
void expect_near(float got, double truth, double size, bool floating, const std::string& where) {
  EXPECT_NEAR(got, truth, (floating ? 1e-5 : 2e-2) * size + 1e-5) << where;
}

class KernelGraph : public testing::Test {
 protected:
  void SetUp() override {
    if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  }
};

TEST_F(KernelGraph, ProductsOfAnyShapeAndView) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const ggml_type type = kTypes[seed % std::size(kTypes)];
    const bool floating = is_floating(*packed_type(type));
    const std::int64_t block = ggml_blck_size(type);
    const std::int64_t columns = block == 1 ? pick(random, 1, 200) : block * pick(random, 1, 3);
    const std::int64_t rows = pick(random, 1, 70);
    const std::int64_t matrices = pick(random, 1, 3);
    const std::int64_t repeat = pick(random, 1, 2);
    const std::int64_t batch = pick(random, 1, 40);
    // 0: whole; 1: some rows from a multiple of 16; 2: rows from anywhere; 3: some columns
    const int view = matrices > 1 ? 0 : static_cast<int>(pick(random, 0, 3));
    const std::string where = "seed " + std::to_string(seed) + ", " + ggml_type_name(type) +
                              ", view " + std::to_string(view);
    Graph graph(static_cast<int>(pick(random, 1, 3)));
    const File file(type, columns, rows * matrices, random);
    ggml_tensor* w = ggml_new_tensor_3d(graph.weights(), type, columns, rows, matrices);
    ggml_tensor* used = w;
    std::int64_t first = 0;
    std::int64_t begin = 0;
    if (view == 1 || view == 2) {
      first = view == 1 ? pick(random, 0, (rows - 1) / 16) * 16 : pick(random, 0, rows - 1);
      used = ggml_view_2d(graph.rest(), w, columns, pick(random, 1, rows - first), w->nb[1],
                          static_cast<std::size_t>(first) * w->nb[1]);
    } else if (view == 3) {
      begin = pick(random, 0, columns / block - 1) * block;
      used = ggml_view_2d(graph.rest(), w, columns - begin, rows, w->nb[1],
                          static_cast<std::size_t>(begin / block) * w->nb[0]);
    }
    ggml_tensor* x =
        ggml_new_tensor_3d(graph.rest(), GGML_TYPE_F32, columns + 3, batch, matrices * repeat);
    ggml_tensor* x_used = ggml_view_3d(graph.rest(), x, columns - begin, batch, matrices * repeat,
                                       x->nb[1], x->nb[2], 0);
    ggml_tensor* y = ggml_mul_mat(graph.rest(), used, x_used);
    const std::vector<float> a = random_numbers(ggml_nelements(x), random);
    const std::vector<float> got = graph.compute(y, [&] {
      ggml_backend_tensor_set(w, file.bytes.data(), 0, file.bytes.size());
      ggml_backend_tensor_set(x, a.data(), 0, a.size() * sizeof(float));
    });
    const std::int64_t outputs = y->ne[0];
    for (std::int64_t m = 0; m < matrices * repeat; ++m)
      for (std::int64_t r = 0; r < batch; ++r)
        for (std::int64_t i = 0; i < outputs; ++i) {
          const float* weight =
              file.numbers.data() + ((m / repeat) * rows + first + i) * columns + begin;
          const Dot truth =
              dot(weight, a.data() + (m * batch + r) * (columns + 3), columns - begin);
          expect_near(got[static_cast<std::size_t>((m * batch + r) * outputs + i)], truth.sum,
                      truth.size, floating, where);
        }
    if (HasFailure()) return;
  }
}

// Few rows are prepared by every thread for itself; floats take most room.
TEST_F(KernelGraph, EveryThreadHasScratchForItsOwnCopyOfFewRows) {
  constexpr std::size_t kThreads = 4;
  Graph graph(kThreads);
  ggml_tensor* w = ggml_new_tensor_2d(graph.weights(), GGML_TYPE_F16, 4096, 16);
  ggml_tensor* x = ggml_new_tensor_2d(graph.rest(), GGML_TYPE_F32, 4096, 2);
  ggml_tensor* y = ggml_mul_mat(graph.rest(), w, x);
  (void)graph.compute(y, [&] {
    const std::vector<char> zeros(ggml_nbytes(w), 0);  // more than x has
    ggml_backend_tensor_set(w, zeros.data(), 0, ggml_nbytes(w));
    ggml_backend_tensor_set(x, zeros.data(), 0, ggml_nbytes(x));
    EXPECT_GE(product_work_bytes(kThreads, y),
              kThreads * 2 * prepared_bytes(packed_weight(w).shape));
  });
}

TEST_F(KernelGraph, EveryTokenGoesThroughItsExperts) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed + 100);
    const ggml_type type = kTypes[seed % std::size(kTypes)];
    const bool floating = is_floating(*packed_type(type));
    const std::int64_t columns = std::max<std::int64_t>(64, ggml_blck_size(type));
    const std::int64_t rows = pick(random, 1, 50);
    const std::int64_t experts = pick(random, 2, 9);
    const std::int64_t used = pick(random, 1, 2);
    const std::int64_t tokens = pick(random, 1, 30);
    const std::int64_t shared = pick(random, 0, 1) == 0 ? 1 : used;  // one row for all, or each
    Graph graph(static_cast<int>(pick(random, 1, 3)));
    const File file(type, columns, rows * experts, random);
    ggml_tensor* w = ggml_new_tensor_3d(graph.weights(), type, columns, rows, experts);
    ggml_tensor* x = ggml_new_tensor_3d(graph.rest(), GGML_TYPE_F32, columns, shared, tokens);
    ggml_tensor* ids = ggml_new_tensor_2d(graph.rest(), GGML_TYPE_I32, used, tokens);
    ggml_tensor* y = ggml_mul_mat_id(graph.rest(), w, x, ids);
    const std::vector<float> a = random_numbers(ggml_nelements(x), random);
    std::vector<std::int32_t> chosen(static_cast<std::size_t>(used * tokens));
    for (std::int32_t& id : chosen) id = static_cast<std::int32_t>(pick(random, 0, experts - 1));
    const std::vector<float> got = graph.compute(y, [&] {
      ggml_backend_tensor_set(w, file.bytes.data(), 0, file.bytes.size());
      ggml_backend_tensor_set(x, a.data(), 0, a.size() * sizeof(float));
      ggml_backend_tensor_set(ids, chosen.data(), 0, chosen.size() * sizeof(std::int32_t));
    });
    for (std::int64_t t = 0; t < tokens; ++t)
      for (std::int64_t s = 0; s < used; ++s)
        for (std::int64_t i = 0; i < rows; ++i) {
          const std::int32_t expert = chosen[static_cast<std::size_t>(t * used + s)];
          const Dot truth = dot(file.numbers.data() + (expert * rows + i) * columns,
                                a.data() + (t * shared + s % shared) * columns, columns);
          expect_near(got[static_cast<std::size_t>((t * used + s) * rows + i)], truth.sum,
                      truth.size, floating, "seed " + std::to_string(seed));
        }
    if (HasFailure()) return;
  }
}

// Of types whose blocks have a scale each, as packing has rounded that: by a part of 127 of the
// largest, half of it.
TEST_F(KernelGraph, RowsComeBackAsTheyWere) {
  for (const ggml_type type : kTypes) {
    const bool rounded = ggml_blck_size(type) == 32;
    std::mt19937 random(5);
    Graph graph(2);
    const File file(type, 256, 40, random);
    ggml_tensor* w = ggml_new_tensor_2d(graph.weights(), type, 256, 40);
    ggml_tensor* ids = ggml_new_tensor_1d(graph.rest(), GGML_TYPE_I32, 7);
    ggml_tensor* y = ggml_get_rows(graph.rest(), w, ids);
    const std::vector<std::int32_t> wanted = {0, 39, 16, 15, 3, 3, 31};
    const std::vector<float> got = graph.compute(y, [&] {
      ggml_backend_tensor_set(w, file.bytes.data(), 0, file.bytes.size());
      ggml_backend_tensor_set(ids, wanted.data(), 0, wanted.size() * sizeof(std::int32_t));
    });
    for (std::size_t r = 0; r < wanted.size(); ++r)
      for (std::size_t k = 0; k < 256; ++k)
        ASSERT_NEAR(got[r * 256 + k], file.numbers[static_cast<std::size_t>(wanted[r]) * 256 + k],
                    rounded ? 0.02 : 0)
            << ggml_type_name(type);
  }
}

// The engine multiplies heads with a Hadamard matrix before their cells are quantized.
TEST(KernelRotation, IsTheMatrixAndTheSameBitsForARowAlone) {
  if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  std::mt19937 random(5);
  for (const std::int64_t columns : {64, 128, 256}) {
    constexpr std::int64_t kRows = 7;
    Graph graph(2);
    ggml_context* rest = graph.rest();
    ggml_tensor* matrix = ggml_new_tensor_2d(rest, GGML_TYPE_F32, columns, columns);
    ggml_tensor* x = ggml_new_tensor_2d(rest, GGML_TYPE_F32, columns, kRows);
    ggml_tensor* y = ggml_mul_mat(rest, matrix, x);
    EXPECT_FALSE(covers_rotation(y));
    ggml_mul_mat_set_hint(y, GGML_HINT_SRC0_IS_HADAMARD);
    ASSERT_TRUE(covers_rotation(y));
    const std::vector<float> xs = random_numbers(columns * kRows, random);
    const std::vector<float> got = graph.compute(
        y, [&] { ggml_backend_tensor_set(x, xs.data(), 0, xs.size() * sizeof(float)); });
    for (std::int64_t row = 0; row < kRows; ++row) {
      const float* in = xs.data() + row * columns;
      std::vector<float> one(static_cast<std::size_t>(columns));
      for (const KernelTable* table : {active_table(), avx2_table()}) {
        table->rotate_row(in, static_cast<int>(columns), one.data());
        ASSERT_EQ(std::memcmp(one.data(), got.data() + row * columns, one.size() * sizeof(float)),
                  0);
      }
      for (std::int64_t i = 0; i < columns; ++i) {
        double truth = 0;
        for (std::int64_t j = 0; j < columns; ++j)
          truth += (__builtin_popcountll(static_cast<std::uint64_t>(i & j)) % 2 == 0 ? 1 : -1) *
                   static_cast<double>(in[j]);
        truth /= std::sqrt(static_cast<double>(columns));
        ASSERT_NEAR(one[static_cast<std::size_t>(i)], truth, 2e-6) << columns << ", " << i;
      }
    }
  }
}

}  // namespace
}  // namespace choir::kernels
