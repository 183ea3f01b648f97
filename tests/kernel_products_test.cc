// Packed weights and their products, against ggml's own unpacking and against sums in double.
#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/packed.h"
#include "tests/kernel_weights.h"

namespace choir::kernels {
namespace {

constexpr ggml_type kTypes[] = {GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                                GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K,
                                GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_F32};

// Types whose blocks have a scale each, which packing rounds.
bool has_scale_of_block(ggml_type type) { return ggml_blck_size(type) == 32; }

// Columns of a row of this type that are no whole super-block, where it can have such.
std::int64_t odd_columns(ggml_type type) {
  if (has_scale_of_block(type)) return 512 + 160;
  return ggml_blck_size(type) == 1 ? 173 : 512;
}

class PackedWeights : public testing::TestWithParam<ggml_type> {};

std::vector<float> unpacked_row(Weights& weights, std::int64_t row) {
  std::vector<float> out(static_cast<std::size_t>(weights.shape.columns));
  unpack_row(weights.shape, weights.data(), row, out.data());
  return out;
}

// The scale of block `block` of a row of the file.
float scale_of(const Weights& weights, std::int64_t row, std::size_t block) {
  const std::size_t at =
      static_cast<std::size_t>(row) * ggml_row_size(weights.type, weights.shape.columns) +
      block * ggml_type_size(weights.type);
  ggml_fp16_t bits = 0;
  std::memcpy(&bits, weights.file.data() + at, sizeof bits);
  return ggml_fp16_to_fp32(bits);
}

// How far packing moves a weight: half a part of a scale times a number from the middle, and half a
// part of an offset. A part is that of the largest scale of 256 columns, or of their largest
// weight.
void expect_near(Weights& weights, std::int64_t row) {
  const bool nibbles = weights.type == GGML_TYPE_Q4_0 || weights.type == GGML_TYPE_Q4_1;
  const bool offsets = weights.type == GGML_TYPE_Q4_1 || weights.type == GGML_TYPE_Q5_1;
  const bool bytes = weights.type == GGML_TYPE_Q8_0;
  const float parts = bytes || weights.type == GGML_TYPE_Q5_1 ? 255 : 127;
  const float moved = (bytes ? 64.0F : nibbles ? 4.0F : 8.0F) + (offsets ? 0.5F : 0.0F);
  const std::vector<float> file = weights.plain_row(row);
  const std::vector<float> ours = unpacked_row(weights, row);
  for (std::size_t column = 0; column < file.size(); ++column) {
    float part = 1.0F / (1 << 24) / kScaleParts;  // of the smallest half
    const std::size_t first = column / kSuperColumns * kSuperBlocks;
    for (std::size_t block = first; block < first + kSuperBlocks; ++block)
      if (block * kBlockColumns < file.size())
        part = std::max(part, std::abs(scale_of(weights, row, block)) / parts);
    if (offsets)
      for (std::size_t i = first * kBlockColumns;
           i < std::min(file.size(), (first + kSuperBlocks) * kBlockColumns); ++i)
        part = std::max(part, std::abs(file[i]) / (nibbles ? 1000.0F : 20000.0F));
    ASSERT_NEAR(file[column], ours[column], 1.01F * moved * part)
        << "row " << row << ", column " << column;
  }
}

TEST_P(PackedWeights, UnpackToWhatTheFileHas) {
  std::mt19937 random(1);
  for (const std::int64_t rows : {1, 15, 16, 33}) {
    Weights weights(GetParam(), rows, odd_columns(GetParam()), random);
    for (std::int64_t i = 0; i < rows; ++i)
      if (has_scale_of_block(GetParam()))
        expect_near(weights, i);
      else
        EXPECT_EQ(unpacked_row(weights, i), weights.plain_row(i)) << "row " << i << " of " << rows;
  }
}

// Scales of either sign, and of blocks that are much smaller than their neighbours.
TEST_P(PackedWeights, ScalesOfAnySignAndSizeArePacked) {
  if (!has_scale_of_block(GetParam())) return;
  std::mt19937 random(8);
  Weights weights(GetParam(), 17, 512 + 96, random);
  const std::size_t size = ggml_type_size(GetParam());
  for (std::size_t block = 0; block * size < weights.file.size(); ++block) {
    std::byte* at = weights.file.data() + block * size;
    ggml_fp16_t bits = 0;
    std::memcpy(&bits, at, sizeof bits);
    const float factor = block % 3 == 0 ? -1.0F : block % 5 == 0 ? 0.01F : 1.0F;
    bits = ggml_fp32_to_fp16(ggml_fp16_to_fp32(bits) * factor);
    std::memcpy(at, &bits, sizeof bits);
  }
  weights.pack();
  for (std::int64_t row = 0; row < 17; ++row) expect_near(weights, row);
}

// The largest and the smallest that a file can have, and what is nothing.
TEST_P(PackedWeights, ScalesAtTheEndsOfTheirRangeArePacked) {
  if (!has_scale_of_block(GetParam())) return;
  std::mt19937 random(10);
  for (const ggml_fp16_t bits : {ggml_fp16_t{0x7BFF}, ggml_fp16_t{0x0001}, ggml_fp16_t{0}}) {
    Weights weights(GetParam(), 16, 256, random);
    const std::size_t size = ggml_type_size(GetParam());
    const bool offsets = GetParam() == GGML_TYPE_Q4_1 || GetParam() == GGML_TYPE_Q5_1;
    for (std::size_t at = 0; at < weights.file.size(); at += size) {
      std::memcpy(weights.file.data() + at, &bits, sizeof bits);
      if (offsets) std::memcpy(weights.file.data() + at + 2, &bits, sizeof bits);
    }
    weights.pack();
    for (std::int64_t row = 0; row < 16; ++row) expect_near(weights, row);
    const std::vector<float> a = random_numbers(std::size_t{20} * 256, random);
    const std::vector<float> want = product(*tables().front(), weights, a, 20);
    for (const KernelTable* table : tables())
      EXPECT_EQ(product(*table, weights, a, 20), want) << table->name << ", " << bits;
  }
}

TEST_P(PackedWeights, ScalesThatAreNoNumbersStayNone) {
  if (!has_scale_of_block(GetParam())) return;
  std::mt19937 random(9);
  for (const ggml_fp16_t bits : {ggml_fp16_t{0x7C00}, ggml_fp16_t{0x7E00}}) {
    Weights weights(GetParam(), 16, 256, random);
    std::memcpy(weights.file.data() + 3 * ggml_type_size(GetParam()), &bits, sizeof bits);
    weights.pack();
    const std::vector<float> c =
        product(*tables().front(), weights, std::vector<float>(256, 1.0F), 1);
    EXPECT_FALSE(std::isfinite(c[0])) << bits;
    EXPECT_TRUE(std::isfinite(c[1])) << bits;
  }
}

TEST_P(PackedWeights, TakeAtMostATenthMoreThanTheFile) {
  const PackedShape shape{*packed_type(GetParam()), 2048, 2048};
  EXPECT_LE(static_cast<double>(shape.bytes()),
            1.1 * static_cast<double>(ggml_row_size(GetParam(), 2048) * 2048));
}

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

// The error of ggml's own path is that of its rounding of activations. For K types ours is the
// same; for the others ggml has one scale for 32 activations, and ours is one for 128: of normal
// numbers the largest of 128 is 1.2 times the largest of 32, and so is the error.
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
    const double most = has_scale_of_block(GetParam()) ? 1.3 : 1.05;
    EXPECT_LE(std::sqrt(ours), most * std::sqrt(theirs) + 1e-4);
  }
}

// The heart of it: a row's output does not know how many rows were computed with it, nor where.
TEST_P(PackedWeights, AProductHasTheSameBitsInAnyCompanyAndOnEveryInstructionSet) {
  std::mt19937 random(3);
  const std::int64_t columns = odd_columns(GetParam());
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

// Rows through a gated unit and the product that reads it. whole: in short pieces that are made
// ready afterwards.
std::vector<float> gated(const KernelTable& table, Weights& gate, Weights& up, Weights& down,
                         const std::vector<float>& a, std::int64_t rows, bool whole = false) {
  const auto ready = [&](const PackedShape& shape) {
    return std::vector<std::byte>(prepared_bytes(shape) * static_cast<std::size_t>(rows));
  };
  std::vector<std::byte> from = ready(gate.shape);
  std::vector<std::byte> to = ready(down.shape);
  const std::int64_t stride = whole ? down.shape.columns : ready_columns(down.shape.type);
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
  glu.whole = whole;
  table.multiply_glu(glu, 0, 1);  // in parts, as threads take them
  table.multiply_glu(glu, 1, glu.units());
  if (whole) {
    glu.whole = false;
    for (std::int64_t unit = 0; unit < glu.units(); ++unit) {
      glu.scratch = scratch.data() + unit * glu.unit_columns();
      table.store_unit(glu, unit);
    }
  }
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
    const std::int64_t inner = ggml_blck_size(to) == 256 ? 512 : 512 + 96;
    Weights gate(GetParam(), inner, 256, random);
    Weights up(GetParam(), inner, 256, random);
    Weights down(to, 20, inner, random);
    const std::vector<float> a = random_numbers(kRows * 256, random);
    std::vector<float> alone;
    for (std::int64_t row = 0; row < kRows; ++row) {
      const std::vector<float> one(a.begin() + row * 256, a.begin() + (row + 1) * 256);
      const std::vector<float> c = gated(*tables().front(), gate, up, down, one, 1);
      alone.insert(alone.end(), c.begin(), c.end());
    }
    for (const KernelTable* table : tables())
      for (const std::int64_t rows : {1L, 7L, 16L, 33L, kRows}) {
        for (const bool whole : {false, true}) {
          if (whole && is_floating(down.shape.type)) continue;
          const std::vector<float> c = gated(*table, gate, up, down, a, rows, whole);
          ASSERT_EQ(std::memcmp(c.data(), alone.data(), c.size() * sizeof(float)), 0)
              << table->name << ", " << rows << " rows to " << ggml_type_name(to)
              << (whole ? " in pieces" : "");
        }
      }
  }
}

// The largest scales, weights and activations that there are, of one sign: no sum overflows.
TEST_P(PackedWeights, LargestSumsStayExact) {
  if (is_floating(*packed_type(GetParam()))) return;
  std::mt19937 random(7);
  constexpr std::int64_t kColumns = 512;
  constexpr std::int64_t kRows = 32;
  for (const int byte : {0xFF, 0x80, 0x7F, 0x00}) {
    Weights weights(GetParam(), 16, kColumns, random);
    // All but the halves.
    const bool minimum = GetParam() == GGML_TYPE_Q4_1 || GetParam() == GGML_TYPE_Q5_1 ||
                         GetParam() == GGML_TYPE_Q4_K || GetParam() == GGML_TYPE_Q5_K;
    const std::size_t begin = GetParam() == GGML_TYPE_Q6_K ? 208 : 0;
    const std::size_t end = begin + (minimum ? 4 : 2);
    const std::size_t size = ggml_type_size(GetParam());
    for (std::size_t i = 0; i < weights.file.size(); ++i) {
      const std::size_t at = i % size;
      if (at < begin || at >= end) weights.file[i] = static_cast<std::byte>(byte);
      // Of blocks: the same scale, and a minimum of another sign.
      if (has_scale_of_block(GetParam()) && at < end)
        weights.file[i] = static_cast<std::byte>(at % 2 == 0 ? 0 : at == 1 ? 0x3C : 0xB8);
    }
    weights.pack();
    const std::vector<float> a(kRows * kColumns, 2.5F);
    const std::vector<float> w = unpacked_row(weights, 3);
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
      const std::vector<float> w = unpacked_row(weights, i);
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
