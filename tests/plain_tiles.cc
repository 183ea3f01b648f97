#include "tests/plain_tiles.h"

#if defined(__AVX2__)
#include <cstring>

#include "kernels/isa_avx2.h"
// After the instruction set that they use.
#include "kernels/attention.inc"
#include "kernels/products.inc"
#include "kernels/rows.inc"
#include "kernels/tiles.inc"

namespace choir::kernels {
namespace {

// AVX2 with as many rows side by side as a tile has.
struct Avx2OfTiles : Avx2 {
  static constexpr int kRowsMax = 16;
};

struct PlainTiles {
  static constexpr int kRows = 16;
  static constexpr int kBytes = 64;
  struct Tile {
    std::uint8_t bytes[kRows][kBytes];
  };
  static thread_local Tile tiles[8];
  static thread_local TileHeights heights;
  static thread_local bool open;

  static void begin(TileHeights rows) {
    heights = rows;
    open = true;
  }
  static void end() { open = false; }
  static int rows_of(int tile) {
    if (tile >= 6) return kRows;
    return tile == 2 || tile == 3 || tile == 5 ? heights.second : heights.first;
  }
  template <int kTile>
  static void zero() {
    tiles[kTile] = {};
  }
  template <int kTile>
  static void load(const void* at, std::int64_t stride) {
    for (int row = 0; row < rows_of(kTile); ++row)
      std::memcpy(tiles[kTile].bytes[row], static_cast<const std::byte*>(at) + row * stride,
                  kBytes);
  }
  template <int kTile>
  static void store(std::int32_t* at) {
    // Without begin() the instruction would end the process.
    const auto rows = static_cast<std::size_t>(rows_of(kTile));
    if (open) std::memcpy(at, tiles[kTile].bytes, rows * sizeof tiles[kTile].bytes[0]);
  }
  template <int kSum, int kA, int kWeights, bool kSigned>
  static void add() {
    for (int row = 0; row < rows_of(kSum); ++row)
      for (int lane = 0; lane < kBytes / 4; ++lane) {
        std::int32_t sum = 0;
        std::memcpy(&sum, tiles[kSum].bytes[row] + 4 * lane, sizeof sum);
        for (int column = 0; column < kBytes; ++column) {
          const int a = static_cast<std::int8_t>(tiles[kA].bytes[row][column]);
          const std::uint8_t weight = tiles[kWeights].bytes[column / 4][4 * lane + column % 4];
          sum += a * (kSigned ? static_cast<std::int8_t>(weight) : static_cast<int>(weight));
        }
        std::memcpy(tiles[kSum].bytes[row] + 4 * lane, &sum, sizeof sum);
      }
  }
};
thread_local PlainTiles::Tile PlainTiles::tiles[8];
thread_local TileHeights PlainTiles::heights;
thread_local bool PlainTiles::open = false;

void multiply_plain(const Product& p, std::int64_t group_begin, std::int64_t group_end) {
  if (!multiply_tiled<Avx2OfTiles, PlainTiles>(p, group_begin, group_end))
    multiply<Avx2OfTiles>(p, group_begin, group_end);
}

void multiply_glu_plain(const GluProduct& p, std::int64_t unit_begin, std::int64_t unit_end) {
  if (!multiply_glu_tiled<Avx2OfTiles, PlainTiles>(p, unit_begin, unit_end))
    multiply_glu<Avx2OfTiles>(p, unit_begin, unit_end);
}

}  // namespace

const KernelTable* plain_tiles_table() {
  static const KernelTable kTable = [] {
    KernelTable table = *avx2_table();
    table.name = "plain tiles";
    table.rows_max = Avx2OfTiles::kRowsMax;
    table.prepare_row = prepare_row<Avx2OfTiles>;
    table.multiply = multiply_plain;
    table.multiply_glu = multiply_glu_plain;
    table.store_unit = store_unit<Avx2OfTiles>;
    return table;
  }();
  return &kTable;
}

}  // namespace choir::kernels
#else
namespace choir::kernels {

const KernelTable* plain_tiles_table() { return nullptr; }

}  // namespace choir::kernels
#endif
