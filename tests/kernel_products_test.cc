// Packed weights and their products, against ggml's own unpacking and against sums in double.
#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/packed.h"
#include "tests/plain_tiles.h"

namespace choir::kernels {
namespace {

constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                                GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K,
                                GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_F32};

// The tables that this CPU runs.
std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> out;
  if (avx2_table() != nullptr) out.push_back(avx2_table());
  if (plain_tiles_table() != nullptr) out.push_back(plain_tiles_table());
  if (active_table() == nullptr || active_table() == avx2_table()) return out;
  out.push_back(active_table());
  if (active_table() == amx_table()) out.push_back(avx512_table());
  return out;
}

std::vector<float> random_numbers(std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

// A matrix of a file, packed.
struct Weights {
  Weights(ggml_type of, std::int64_t rows, std::int64_t columns, std::mt19937& random)
      : type(of), shape{*packed_type(of), columns, rows} {
    const std::vector<float> numbers =
        random_numbers(static_cast<std::size_t>(rows * columns), random);
    file.resize(ggml_row_size(type, columns) * static_cast<std::size_t>(rows));
    ggml_quantize_chunk(type, numbers.data(), file.data(), 0, rows, columns, nullptr);
    packed.resize(shape.bytes() + 64);
    pack(shape, file.data(), data());
  }
  std::byte* data() {
    return packed.data() + (64 - reinterpret_cast<std::uintptr_t>(packed.data()) % 64);
  }
  std::vector<float> plain_row(std::int64_t row) const {
    std::vector<float> out(static_cast<std::size_t>(shape.columns));
    const std::byte* at =
        file.data() + static_cast<std::size_t>(row) * ggml_row_size(type, shape.columns);
    if (type == GGML_TYPE_F32)
      std::memcpy(out.data(), at, out.size() * sizeof(float));
    else
      ggml_get_type_traits(type)->to_float(at, out.data(), shape.columns);
    return out;
  }

  ggml_type type;
  PackedShape shape;
  std::vector<std::byte> file;
  std::vector<std::byte> packed;
};

std::vector<float> product(const KernelTable& table, Weights& weights, const std::vector<float>& a,
                           std::int64_t rows) {
  const PackedShape& shape = weights.shape;
  const int most = table.rows_max_of(shape.type);
  std::vector<std::byte> prepared(prepared_bytes(shape) * static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < rows; ++row)
    table.prepare_row(shape, a.data() + row * shape.columns, place_row(row, rows, most),
                      prepared.data());
  std::vector<float> c(static_cast<std::size_t>(rows * shape.rows), NAN);
  Product p;
  p.shape = shape;
  p.weights = weights.data();
  p.prepared = prepared.data();
  p.rows = rows;
  p.c = c.data();
  p.c_stride = shape.rows;
  table.multiply(p, 0, shape.groups());
  return c;
}

class PackedWeights : public testing::TestWithParam<ggml_type> {};

TEST_P(PackedWeights, UnpackToTheBitsOfTheFile) {
  std::mt19937 random(1);
  for (const std::int64_t rows : {1, 15, 16, 33}) {
    Weights weights(GetParam(), rows, 512, random);
    std::vector<float> row(512);
    for (std::int64_t i = 0; i < rows; ++i) {
      unpack_row(weights.shape, weights.data(), i, row.data());
      EXPECT_EQ(row, weights.plain_row(i)) << "row " << i << " of " << rows;
    }
  }
}

TEST_P(PackedWeights, TakeAtMostATenthMoreThanTheFile) {
  const PackedShape shape{*packed_type(GetParam()), 2048, 2048};
  EXPECT_LE(static_cast<double>(shape.bytes()),
            1.1 * static_cast<double>(ggml_row_size(GetParam(), 2048) * 2048));
}

// The error of ggml's own path is that of its rounding of activations, which is ours too.
// ggml's functions for floats take pointers to these, and are called as if they took any; clang's
// sanitizer does not allow that.
#if defined(__clang__)
__attribute__((no_sanitize("function")))
#endif
float dot_of(ggml_vec_dot_t function, std::int64_t columns, const void* weights, const void* row) {
  float dot = 0;
  function(static_cast<int>(columns), &dot, 0, weights, 0, row, 0, 1);
  return dot;
}

TEST_P(PackedWeights, ProductsAreAsNearToTheTruthAsGgmls) {
  std::mt19937 random(2);
  const std::int64_t columns = 768;
  const std::int64_t rows = 7;
  Weights weights(GetParam(), 40, columns, random);
  const std::vector<float> a = random_numbers(static_cast<std::size_t>(rows * columns), random);
  const auto* traits = ggml_get_type_traits_cpu(GetParam());
  const ggml_type other = traits->vec_dot_type;
  const auto from_float = ggml_get_type_traits_cpu(other)->from_float;
  for (const KernelTable* table : tables()) {
    SCOPED_TRACE(table->name);
    const std::vector<float> c = product(*table, weights, a, rows);
    double ours = 0;
    double theirs = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      std::vector<std::byte> rounded(ggml_row_size(other, columns));
      if (from_float != nullptr)
        from_float(a.data() + r * columns, rounded.data(), columns);
      else
        std::memcpy(rounded.data(), a.data() + r * columns, rounded.size());
      for (std::int64_t i = 0; i < 40; ++i) {
        const std::vector<float> w = weights.plain_row(i);
        double truth = 0;
        for (std::size_t k = 0; k < w.size(); ++k)
          truth += static_cast<double>(w[k]) *
                   static_cast<double>(a[static_cast<std::size_t>(r * columns) + k]);
        const float dot = dot_of(
            traits->vec_dot, columns,
            weights.file.data() + static_cast<std::size_t>(i) * ggml_row_size(GetParam(), columns),
            rounded.data());
        ours += std::pow(static_cast<double>(c[static_cast<std::size_t>(r * 40 + i)]) - truth, 2);
        theirs += std::pow(static_cast<double>(dot) - truth, 2);
      }
    }
    // Where both round the same way, a few bits of luck.
    EXPECT_LE(std::sqrt(ours), 1.05 * std::sqrt(theirs) + 1e-4);
  }
}

// The heart of it: a row's output does not know how many rows were computed with it, nor where.
TEST_P(PackedWeights, AProductHasTheSameBitsInAnyCompanyAndOnEveryInstructionSet) {
  std::mt19937 random(3);
  const std::int64_t columns = is_floating(*packed_type(GetParam())) ? 173 : 512;
  Weights weights(GetParam(), 37, columns, random);
  const std::int64_t most = 41;
  const std::vector<float> a = random_numbers(static_cast<std::size_t>(most * columns), random);
  std::vector<float> alone;  // every row by itself
  for (std::int64_t r = 0; r < most; ++r) {
    const std::vector<float> row(a.begin() + r * columns, a.begin() + (r + 1) * columns);
    const std::vector<float> c = product(*tables().front(), weights, row, 1);
    alone.insert(alone.end(), c.begin(), c.end());
  }
  for (const KernelTable* table : tables())
    for (std::int64_t rows = 1; rows <= most; ++rows) {
      const std::vector<float> c = product(*table, weights, a, rows);
      ASSERT_EQ(std::memcmp(c.data(), alone.data(), c.size() * sizeof(float)), 0)
          << table->name << ", " << rows << " rows";
    }
}

// So many that they pass over the weights in more than one part.
TEST_P(PackedWeights, ManyRowsHaveTheBitsOfEachAlone) {
  std::mt19937 random(5);
  constexpr std::int64_t kRows = 205;
  constexpr std::int64_t kColumns = 4096;
  Weights weights(GetParam(), 35, kColumns, random);
  const std::vector<float> a = random_numbers(kRows * kColumns, random);
  for (const KernelTable* table : tables()) {
    const std::vector<float> all = product(*table, weights, a, kRows);
    for (const std::int64_t row : {0, 63, 159, 160, 191, 192, 204}) {
      const std::vector<float> one(a.begin() + row * kColumns, a.begin() + (row + 1) * kColumns);
      const std::vector<float> alone = product(*tables().front(), weights, one, 1);
      ASSERT_EQ(std::memcmp(alone.data(), all.data() + row * 35, alone.size() * sizeof(float)), 0)
          << table->name << ", row " << row;
    }
  }
}

// Rows through a gated unit and the product that reads it.
std::vector<float> gated(const KernelTable& table, Weights& gate, Weights& up, Weights& down,
                         const std::vector<float>& a, std::int64_t rows) {
  const auto ready = [&](const PackedShape& shape) {
    return std::vector<std::byte>(prepared_bytes(shape) * static_cast<std::size_t>(rows));
  };
  std::vector<std::byte> from = ready(gate.shape);
  std::vector<std::byte> to = ready(down.shape);
  const std::int64_t stride = ready_columns(down.shape.type);
  std::vector<float> scratch(static_cast<std::size_t>(rows * stride));
  const std::int64_t columns = gate.shape.columns;
  for (std::int64_t row = 0; row < rows; ++row)
    table.prepare_row(gate.shape, a.data() + row * columns,
                      place_row(row, rows, table.rows_max_of(gate.shape.type)), from.data());
  GluProduct glu;
  glu.shape = gate.shape;
  glu.gate = gate.data();
  glu.up = up.data();
  glu.prepared = from.data();
  glu.rows = rows;
  glu.to_shape = down.shape;
  glu.to = to.data();
  glu.scratch = scratch.data();
  glu.scratch_stride = stride;
  const std::int64_t units = down.shape.columns / ready_columns(down.shape.type);
  table.multiply_glu(glu, 0, 1);  // in parts, as threads take them
  table.multiply_glu(glu, 1, units);
  std::vector<float> c(static_cast<std::size_t>(rows * down.shape.rows), NAN);
  Product p;
  p.shape = down.shape;
  p.weights = down.data();
  p.prepared = to.data();
  p.rows = rows;
  p.c = c.data();
  p.c_stride = down.shape.rows;
  table.multiply(p, 0, down.shape.groups());
  return c;
}

TEST_P(PackedWeights, AGatedUnitHasTheSameBitsInAnyCompanyAndOnEveryInstructionSet) {
  std::mt19937 random(6);
  constexpr std::int64_t kRows = 39;
  for (const ggml_type to : {GetParam(), GGML_TYPE_Q8_0, GGML_TYPE_Q6_K, GGML_TYPE_F16}) {
    Weights gate(GetParam(), 512, 256, random);
    Weights up(GetParam(), 512, 256, random);
    Weights down(to, 20, 512, random);
    const std::vector<float> a = random_numbers(kRows * 256, random);
    std::vector<float> alone;
    for (std::int64_t row = 0; row < kRows; ++row) {
      const std::vector<float> one(a.begin() + row * 256, a.begin() + (row + 1) * 256);
      const std::vector<float> c = gated(*tables().front(), gate, up, down, one, 1);
      alone.insert(alone.end(), c.begin(), c.end());
    }
    for (const KernelTable* table : tables())
      for (const std::int64_t rows : {1L, 7L, 16L, 33L, kRows}) {
        const std::vector<float> c = gated(*table, gate, up, down, a, rows);
        ASSERT_EQ(std::memcmp(c.data(), alone.data(), c.size() * sizeof(float)), 0)
            << table->name << ", " << rows << " rows to " << ggml_type_name(to);
      }
  }
}

// The largest scales, weights and activations that there are, of one sign: no sum overflows.
TEST_P(PackedWeights, LargestSumsStayExact) {
  if (!is_super(*packed_type(GetParam()))) return;
  std::mt19937 random(7);
  constexpr std::int64_t kColumns = 512;
  constexpr std::int64_t kRows = 32;
  for (const int byte : {0xFF, 0x80, 0x7F, 0x00}) {
    Weights weights(GetParam(), 16, kColumns, random);
    const std::size_t halves = GetParam() == GGML_TYPE_Q6_K ? 208 : 0;
    const std::size_t size = ggml_row_size(GetParam(), 256);
    for (std::size_t i = 0; i < weights.file.size(); ++i)
      if (i % size < halves || i % size >= halves + (halves == 0 ? 4 : 2))
        weights.file[i] = static_cast<std::byte>(byte);
    pack(weights.shape, weights.file.data(), weights.data());
    const std::vector<float> a(kRows * kColumns, 2.5F);
    const std::vector<float> w = weights.plain_row(3);
    double truth = 0;
    for (const float x : w) truth += 2.5 * static_cast<double>(x);
    const std::vector<float> want = product(*tables().front(), weights, a, kRows);
    EXPECT_NEAR(want[3], truth, 1e-5 * std::abs(truth) + 1e-6) << byte;
    for (const KernelTable* table : tables())
      EXPECT_EQ(product(*table, weights, a, kRows), want) << table->name << ", " << byte;
  }
}

TEST_P(PackedWeights, ExtremeActivationsStayExact) {
  std::mt19937 random(4);
  Weights weights(GetParam(), 16, 256, random);
  std::vector<float> a(256, 0.0F);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = i % 2 == 0 ? 1000.0F : -1000.0F;
  for (const KernelTable* table : tables()) {
    const std::vector<float> c = product(*table, weights, a, 1);
    for (std::int64_t i = 0; i < 16; ++i) {
      const std::vector<float> w = weights.plain_row(i);
      double truth = 0;
      double size = 0;
      for (std::size_t k = 0; k < w.size(); ++k) {
        truth += static_cast<double>(w[k]) * static_cast<double>(a[k]);
        size += std::abs(static_cast<double>(w[k]) * static_cast<double>(a[k]));
      }
      EXPECT_NEAR(c[static_cast<std::size_t>(i)], truth, 2e-6 * size) << table->name;
    }
    const std::vector<float> zero = product(*table, weights, std::vector<float>(256, 0.0F), 1);
    for (const float x : zero) EXPECT_EQ(x, 0.0F);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, PackedWeights, testing::ValuesIn(kTypes),
                         [](const auto& test) { return std::string(ggml_type_name(test.param)); });

TEST(RowPlace, TilesCoverAllRowsOnceInOrder) {
  for (const int most : {4, 12, 16})
    for (std::int64_t rows = 1; rows <= 70; ++rows) {
      std::int64_t next = 0;
      while (next < rows) {
        const RowPlace place = place_row(next, rows, most);
        ASSERT_EQ(place.first, next) << rows;
        ASSERT_EQ(place.rows, tile_rows(rows - next, most)) << rows;
        for (int i = 0; i < place.rows; ++i) {
          const RowPlace inside = place_row(next + i, rows, most);
          ASSERT_EQ(inside.first, next);
          ASSERT_EQ(inside.index, i);
          ASSERT_EQ(inside.rows, place.rows);
        }
        next += place.rows;
      }
      ASSERT_EQ(next, rows);
    }
}

}  // namespace
}  // namespace choir::kernels
