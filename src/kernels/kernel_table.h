// The inner loops, one table for each instruction set; the CPU decides which is used.
//
// Every table gives the same bits: an output is the sum of the same products in the same order,
// however many rows are computed together, by whichever thread and with whichever vectors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"

namespace choir::kernels {

// What a product of quantized weights adds to the plain dot products of a block: its zero point;
// an offset, as whole as the scale; a minimum with a scale of its own; or the zero point of two
// halves with a scale each.
enum class Correction : std::uint8_t { kZeroPoint, kOffset, kMinimum, kTwoHalves };

[[gnu::always_inline]] constexpr Correction correction_of(PackedType type) {
  switch (type) {
    case PackedType::kQ41:
    case PackedType::kQ51:
      return Correction::kOffset;
    case PackedType::kQ4K:
    case PackedType::kQ5K:
      return Correction::kMinimum;
    case PackedType::kQ6K:
      return Correction::kTwoHalves;
    default:
      return Correction::kZeroPoint;
  }
}

// Whether rows of activations made ready for weights of one type are so for those of the other.
[[gnu::always_inline]] constexpr bool same_rows(PackedType a, PackedType b) {
  if (is_floating(a) || is_floating(b)) return is_floating(a) && is_floating(b);
  return is_of_k(a) == is_of_k(b) && zero_point_of(a) == zero_point_of(b);
}

// Up to 256 numbers of an activation row as int8; those that a row does not have are zero. The
// scale is one of all where K types read them, as in ggml, and else one of each 128: with files of
// those types ggml has one for 32. One for 256 would cost a small model 2 % of its perplexity, one
// for 128 costs 0.4 %, and tiles need long sums. Whole cache lines.
struct SuperQuants {
  std::int8_t quants[kSuperColumns];
  float scales[2];
  std::int16_t sums[kSuperBlocks];  // of the quants of each block
  std::byte unused[40];
  // -zero point * sum of quants: of each block, or half block.
  std::int32_t zeros[2 * kSuperBlocks];
};
static_assert(sizeof(SuperQuants) == 384);

// Rows are computed in tiles; a tile's rows lie side by side, block by block.
struct RowPlace {
  std::int64_t first = 0;  // row of the tile
  int rows = 1;            // of the tile
  int index = 0;           // of the row in it
};

// The tile that begins `left` rows before the end: the largest that they fill.
constexpr int tile_rows(std::int64_t left, int rows_max) {
  for (const int rows : {16, 12, 8, 6, 4, 3, 2})
    if (rows <= rows_max && rows <= left) return rows;
  return 1;
}
constexpr RowPlace place_row(std::int64_t row, std::int64_t rows, int rows_max) {
  std::int64_t first = row / rows_max * rows_max;
  if (rows - first >= rows_max) return {first, rows_max, static_cast<int>(row - first)};
  int tile = tile_rows(rows - first, rows_max);
  while (first + tile <= row) {
    first += tile;
    tile = tile_rows(rows - first, rows_max);
  }
  return {first, tile, static_cast<int>(row - first)};
}

// Bytes of one prepared activation row.
constexpr std::size_t prepared_bytes(const PackedShape& shape) {
  if (is_floating(shape.type)) return static_cast<std::size_t>(shape.columns) * sizeof(float);
  return static_cast<std::size_t>(shape.supers()) * sizeof(SuperQuants);
}

// Where a thread's run of weights ends, and what it reads behind the end: weights are fetched a
// piece ahead, and the piece behind a run would be another thread's.
// Weights come from memory once in a pass; the hardware's own prefetching stops at each page.
inline constexpr std::ptrdiff_t kWeightsAhead = 16384;
struct WeightRun {
  const std::byte* end = nullptr;
  std::ptrdiff_t jump = 0;  // from the end to where it goes on
};

// One product. prepared: what prepare_row made of all rows.
// c: float [rows][shape.rows], `c_stride` floats from row to row.
struct Product {
  PackedShape shape;
  const std::byte* weights = nullptr;  // the packed matrix
  const void* prepared = nullptr;
  std::int64_t rows = 0;
  float* c = nullptr;
  std::int64_t c_stride = 0;
  float* const* c_rows = nullptr;   // instead of c: where each row goes
  const float* residual = nullptr;  // [rows][shape.rows], c_stride: added to the product
  WeightRun run;
};

// A row divided by the root of its mean square, times a weight, with another row added.
struct NormRow {
  const float* x = nullptr;  // [columns], a multiple of 16
  const float* weight = nullptr;
  const float* residual = nullptr;  // or null
  float epsilon = 0.0F;
  std::int64_t columns = 0;
};

// A head of a token: normed, turned by rope and scaled, or only some of it.
struct HeadRow {
  const float* x = nullptr;  // [size], a multiple of 16
  int size = 0;
  const float* weight = nullptr;  // of a norm, or null
  float epsilon = 0.0F;
  // Null, or what turns the first `dims` numbers, a multiple of 16. Neighbours are turned together:
  // [dims] of cosine and sine by turns, then [dims] of minus sine and cosine. Else number i and
  // number i + dims / 2, a multiple of 16 too: [dims / 2] cosines, then [dims / 2] sines.
  const float* angles = nullptr;
  int dims = 0;
  bool neighbours = false;
  float scale = 1.0F;
  float* out = nullptr;         // [size], may be x; or null, and then
  std::byte* halves = nullptr;  // half [size]
};

enum class GluKind : std::uint8_t { kSilu, kGelu };

// Columns that are made ready together.
constexpr std::int64_t ready_columns(PackedType type) {
  if (is_floating(type)) return kBlockColumns;
  return is_of_k(type) ? kSuperColumns : kPartColumns;
}

// f(gate(x)) * up(x), made ready for the product that reads it.
struct GluProduct {
  PackedShape shape;  // of gate and up; as many rows as to_shape has columns
  const std::byte* gate = nullptr;
  const std::byte* up = nullptr;
  WeightRun gate_run;
  WeightRun up_run;
  GluKind kind = GluKind::kSilu;
  const void* prepared = nullptr;
  std::int64_t rows = 0;
  PackedShape to_shape;  // of the product that reads
  void* to = nullptr;
  // f(gate(x)) * up(x) as floats, `scratch_stride` from row to row, on cache lines: of one unit,
  // memory of the calling thread, made ready at once. Or, where `whole`, of all columns, and
  // nothing is made ready; then a unit is a block of columns, and store_unit() follows.
  float* scratch = nullptr;
  std::int64_t scratch_stride = 0;
  bool whole = false;
  constexpr std::int64_t unit_columns() const {
    return whole ? kBlockColumns : ready_columns(to_shape.type);
  }
  constexpr std::int64_t units() const {
    return (to_shape.columns + unit_columns() - 1) / unit_columns();
  }
  // The last one may be shorter.
  constexpr std::int64_t columns_of(std::int64_t unit) const {
    const std::int64_t left = to_shape.columns - unit * unit_columns();
    return left < unit_columns() ? left : unit_columns();
  }
};

// One KV head's cells. k, v: [cells][head_size], halves or blocks of Q8_0.
struct AttentionKv {
  enum class Cells : std::uint8_t { kHalf, kQ80 };
  Cells cells = Cells::kHalf;
  int head_size = 0;  // of K; a multiple of 8, of Q8_0 of 32
  int head_size_v = 0;
  const std::byte* k = nullptr;
  const std::byte* v = nullptr;
  std::size_t k_stride = 0;  // bytes from cell to cell
  std::size_t v_stride = 0;
};

// Queries of one sequence that follow each other, with their heads that share a KV head. A row is
// one head of one query.
inline constexpr int kHeadsTogether = 4;  // of one attention call
inline constexpr int kRowsTogether = 48;
inline constexpr int kHeadSizeMax = 256;
struct AttentionTile {
  struct Range {
    std::int32_t begin = 0;
    std::int32_t end = 0;
  };
  const float* q = nullptr;  // [queries][heads][head_size]
  float* out = nullptr;      // [queries][heads][head_size_v]
  std::size_t q_stride = 0;  // floats from head to head
  std::size_t out_stride = 0;
  std::size_t q_next = 0;  // floats from query to query
  std::size_t out_next = 0;
  int heads = 0;  // 1 .. kHeadsTogether
  int queries = 0;
  const float* sinks = nullptr;  // [heads], or null
  float scale = 1.0F;
  float soft_cap = 0.0F;  // 0: none; else scores become soft_cap * tanh(scale * score / soft_cap)
  const std::int32_t* cells = nullptr;  // what all of them see, by position, ascending
  // The keys of the call that follows, to have them in the cache by then; or none.
  const std::byte* next_k = nullptr;
  const std::int32_t* next_cells = nullptr;
  std::int64_t next_count = 0;
  // What each sees of it; not empty. Begins and ends ascend, the first begin is 0.
  Range ranges[kRowsTogether];
};

// From row to row of queries: a line more than they need, so that rows do not meet in a cache.
inline constexpr int kRowFloats = kHeadSizeMax + 16;
constexpr std::int64_t score_row_floats(std::int64_t cells) { return (cells + 15) / 16 * 16 + 16; }

// Queries of one call, which see `cells` cells: few enough that their scores stay in the second
// cache.
constexpr int tile_queries(int heads, std::int64_t cells) {
  const std::int64_t rows = (std::int64_t{1} << 16) / score_row_floats(cells);
  const std::int64_t queries = (rows < kRowsTogether ? rows : kRowsTogether) / heads;
  return queries < 1 ? 1 : static_cast<int>(queries);
}

// Of the scratch, for the keys of 32 cells.
inline constexpr int kKeyFloats = 16 * kHeadSizeMax;
// Floats of scratch for one call over at most `cells` cells: queries, sums, keys, scores.
constexpr std::int64_t attention_scratch(std::int64_t cells) {
  const std::int64_t one_query = kHeadsTogether * score_row_floats(cells);
  const std::int64_t scores = one_query > (1 << 16) ? one_query : (1 << 16);
  return kRowsTogether * kRowFloats + kRowsTogether + kKeyFloats + scores;
}

struct KernelTable {
  const char* name = "";
  int rows_max = 1;        // of a tile, where the weights are quantized
  int float_rows_max = 1;  // and where they are not
  int rows_max_of(PackedType type) const { return is_floating(type) ? float_rows_max : rows_max; }
  // from: [shape.columns]. prepared: that of the whole product.
  void (*prepare_row)(const PackedShape& shape, const float* from, const RowPlace& place,
                      void* prepared);
  // Output rows of groups [group_begin, group_end).
  void (*multiply)(const Product& product, std::int64_t group_begin, std::int64_t group_end);
  // Output columns [unit_begin, unit_end), in units of unit_columns().
  void (*multiply_glu)(const GluProduct& product, std::int64_t unit_begin, std::int64_t unit_end);
  // What was united of unit `unit`, at product.scratch, becomes what a product reads. Not of a
  // whole one.
  void (*store_unit)(const GluProduct& product, std::int64_t unit);
  // out: [columns]; may be the row that is read or added.
  void (*norm_row)(const NormRow& row, float* out);
  void (*finish_head)(const HeadRow& row);
  // scratch: attention_scratch(cell_count) floats, on a cache line.
  void (*attend)(const AttentionKv& kv, const AttentionTile& tile, float* scratch);
  // A row times the Hadamard matrix of its size, which is 64, 128 or 256, with rows of length 1.
  void (*rotate_row)(const float* from, int columns, float* to);
};

// Null where this build does not have it. Only for a CPU that does: these functions themselves are
// compiled for it.
const KernelTable* amx_table();
const KernelTable* avx512_table();
const KernelTable* avx2_table();
const KernelTable* avx_vnni_table();

// What this CPU runs, or null: then ggml's own kernels stay. CHOIR_KERNELS in the environment
// chooses: off, avx2, avx-vnni, avx512, amx. Decided once.
const KernelTable* active_table();

}  // namespace choir::kernels
