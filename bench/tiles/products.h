// Products with AMX tiles that give the bits of the avx512 table: the arrangement that was fastest.
// For measuring only. Included by tiles_bench.cc; everything has internal linkage.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/kernel_table.h"

#define CHOIR_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512dq")))

namespace choir::bench {
namespace {

using kernels::PackedShape;
using kernels::PackedType;
using kernels::QuantBlock;

struct alignas(64) TileShapes {
  std::uint8_t palette = 1;
  std::uint8_t start = 0;
  std::uint8_t unused[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// Sums in tiles 0 to 3, rows of activations in 4 and 5, weights in 6 and 7, of `columns` columns.
void shape_tiles(int columns) {
  TileShapes shapes;
  for (int i = 0; i < 8; ++i) {
    shapes.rows[i] = static_cast<std::uint8_t>(i < 6 ? 16 : columns / 4);
    shapes.row_bytes[i] = static_cast<std::uint16_t>(i < 4 || i > 5 ? 64 : columns);
  }
  asm volatile("ldtilecfg %0" ::"m"(shapes));
}

template <int kTile>
void load_tile(const void* at, long stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(at), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
void store_tile(void* at) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(at), "r"(64L), "i"(kTile) : "memory");
}
template <int kSums>
void multiply_tiles() {
  asm volatile("tilezero %%tmm%c0\n\ttdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums),
               "i"(4 + kSums / 2), "i"(6 + kSums % 2));
}

// 32 columns of 16 rows of weights, as a tile wants them.
struct alignas(64) PanelBlock {
  std::byte quants[512];
  float scale[16];
  float minimum[16];
};

CHOIR_AVX512 void store_halves(const std::byte* at, float* to) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  _mm512_store_ps(to, _mm512_maskz_cvtph_ps(0xFFFF, halves));  // GCC bug 105593
}

template <PackedType kType>
CHOIR_AVX512 void unpack_group(const PackedShape& shape, const std::byte* group, std::int64_t begin,
                               std::int64_t count, PanelBlock* to) {
  const kernels::PackedBytes bytes = kernels::packed_bytes(kType);
  const __m512i low = _mm512_set1_epi8(15);
  for (std::int64_t block = begin; block < begin + count; ++block, ++to) {
    const std::byte* quants = group + block * bytes.quants;
    const std::byte* scales = group + shape.scales_offset() + block * bytes.scales;
    for (int i = 0; i < bytes.quants / 64; ++i) {
      const __m512i x = _mm512_loadu_si512(quants + 64 * i);
      if constexpr (kType == PackedType::kQ80) {
        _mm512_store_si512(to->quants + 64 * i, _mm512_xor_si512(x, _mm512_set1_epi8(-128)));
      } else {
        _mm512_store_si512(to->quants + 128 * i, _mm512_and_si512(x, low));
        _mm512_store_si512(to->quants + 128 * i + 64,
                           _mm512_and_si512(_mm512_srli_epi16(x, 4), low));
      }
    }
    store_halves(scales, to->scale);
    if constexpr (kType == PackedType::kQ41) store_halves(scales + 32, to->minimum);
  }
}

// Columns that are multiplied with all rows before the next: their weights stay in the first cache.
constexpr std::int64_t kChunk = 8;  // blocks

// What one thread works with: 16 rows x 16 outputs in each quadrant.
struct alignas(64) Scratch {
  PanelBlock panel[2][kChunk];
  std::int32_t whole[4][4][256];  // of quadrant and block
};
struct alignas(64) Quadrants {
  float sums[4][256];
};

CHOIR_AVX512 inline __m512 to_floats(const std::int32_t* at) {
  return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_load_si512(at));
}

// The order of the avx512 table: whole sum times both scales, then the minimum.
template <bool kMinimum>
CHOIR_AVX512 void add_scaled(const std::int32_t (*whole)[256], const QuantBlock* a,
                             const PanelBlock* w, float* to) {
  __m512 sums[16];
#pragma GCC unroll 16
  for (int row = 0; row < 16; ++row) sums[row] = _mm512_load_ps(to + 16 * row);
  for (int block = 0; block < 4; ++block, ++w, a += 16) {
    const __m512 scale = _mm512_load_ps(w->scale);
    const __m512 minimum = _mm512_load_ps(w->minimum);
#pragma GCC unroll 16
    for (int row = 0; row < 16; ++row) {
      const __m512 sum = to_floats(whole[block] + 16 * row);
      sums[row] =
          _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, _mm512_set1_ps(a[row].scale)), sums[row]);
      if constexpr (kMinimum)
        sums[row] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(a[row].correction.sum), sums[row]);
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < 16; ++row) _mm512_store_ps(to + 16 * row, sums[row]);
}

// 32 rows x 32 outputs of a chunk. Tiles and scales take turns of four blocks: beside tile
// instructions the scales would have one port of two. A tile is stored a block after it was
// computed.
template <bool kMinimum>
CHOIR_AVX512 void add_chunk(const QuantBlock* const (&a)[2], std::int64_t blocks, Scratch& s,
                            Quadrants& to) {
  constexpr long kRow = sizeof(QuantBlock);
  for (std::int64_t from = 0; from < blocks; from += 4) {
    for (int i = 0; i < 4; ++i) {
      const std::int64_t block = from + i;
      load_tile<4>(a[0] + 16 * block, kRow);
      load_tile<6>(s.panel[0] + block, 64);
      if (i > 0) store_tile<0>(s.whole[0][i - 1]);
      multiply_tiles<0>();
      load_tile<7>(s.panel[1] + block, 64);
      if (i > 0) store_tile<1>(s.whole[1][i - 1]);
      multiply_tiles<1>();
      load_tile<5>(a[1] + 16 * block, kRow);
      if (i > 0) store_tile<2>(s.whole[2][i - 1]);
      multiply_tiles<2>();
      if (i > 0) store_tile<3>(s.whole[3][i - 1]);
      multiply_tiles<3>();
    }
    store_tile<0>(s.whole[0][3]);
    store_tile<1>(s.whole[1][3]);
    store_tile<2>(s.whole[2][3]);
    store_tile<3>(s.whole[3][3]);
    for (int q = 0; q < 4; ++q)
      add_scaled<kMinimum>(s.whole[q], a[q / 2] + 16 * from, s.panel[q % 2] + from, to.sums[q]);
  }
}

// Groups [begin, end), whole pairs, of a product whose rows are whole pairs of tiles and whose
// blocks are whole fours. quadrants: one for each pair of tiles.
template <PackedType kType>
void multiply_with_tiles(const kernels::Product& p, std::int64_t begin, std::int64_t end,
                         Scratch& scratch, Quadrants* quadrants) {
  const std::int64_t blocks = p.shape.blocks();
  const std::size_t group_bytes = p.shape.group_bytes();
  const auto* rows = static_cast<const QuantBlock*>(p.prepared);
  for (std::int64_t group = begin; group < end; group += 2) {
    std::memset(quadrants, 0, static_cast<std::size_t>(p.rows / 32) * sizeof(Quadrants));
    for (std::int64_t block = 0; block < blocks; block += kChunk) {
      const std::int64_t count = std::min(kChunk, blocks - block);
      for (int g = 0; g < 2; ++g)
        unpack_group<kType>(p.shape, p.weights + static_cast<std::size_t>(group + g) * group_bytes,
                            block, count, scratch.panel[g]);
      for (std::int64_t row = 0; row < p.rows; row += 32)
        add_chunk<kType == PackedType::kQ41>(
            {rows + row * blocks + 16 * block, rows + (row + 16) * blocks + 16 * block}, count,
            scratch, quadrants[row / 32]);
    }
    for (std::int64_t row = 0; row < p.rows; ++row)
      for (int g = 0; g < 2; ++g)
        std::memcpy(p.c + row * p.c_stride + (group + g) * 16,
                    quadrants[row / 32].sums[row % 32 / 16 * 2 + g] + row % 16 * 16, 64);
  }
}

}  // namespace
}  // namespace choir::bench
