// The kernels for AMX: those for AVX-512 with VNNI, and products of K types with tiles. Compiled
// for both, so nothing else may be defined here; see avx512.cc.
#include "kernels/kernel_table.h"

#if defined(__AMX_INT8__) && defined(__AVX512VNNI__)
#include "kernels/isa_avx512.h"
// After the instruction set that they use.
#include "kernels/attention.inc"
#include "kernels/products.inc"
#include "kernels/rows.inc"
#include "kernels/tiles.inc"

namespace choir::kernels {
namespace {

// The eight tiles of a thread, of rows of 64 bytes. Written out: g++ 12 tells the optimizer
// that _tile_loadconfig reads 8 bytes of the 64, and drops what was stored in the others.
struct AmxTiles {
  // Before the first tile is used in a call, and behind the last: a thread that is switched away
  // between calls then has no tiles to be saved.
  static void begin(TileHeights rows) {
    struct alignas(64) Shapes {
      std::uint8_t palette = 1;
      std::uint8_t start_row = 0;
      std::uint8_t unused[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {};
    };
    Shapes shapes;
    for (const int tile : {0, 1, 4}) shapes.rows[tile] = rows.first;
    for (const int tile : {2, 3, 5}) shapes.rows[tile] = rows.second;
    for (const int tile : {6, 7}) shapes.rows[tile] = kTileRows;
    asm volatile("ldtilecfg %0" ::"m"(shapes));
  }
  static void end() { asm volatile("tilerelease"); }
  template <int kTile>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  static void load(const void* at, std::int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(at), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  static void store(std::int32_t* at) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(at), "r"(std::int64_t{64}), "i"(kTile)
                 : "memory");
  }
  // Signed activations, times weights with or without signs.
  template <int kSum, int kA, int kWeights, bool kSigned>
  static void add() {
    if constexpr (kSigned)
      asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kWeights));
    else
      asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kWeights));
  }
};

void multiply_amx(const Product& p, std::int64_t group_begin, std::int64_t group_end) {
  if (!multiply_tiled<Avx512, AmxTiles>(p, group_begin, group_end))
    avx512_table()->multiply(p, group_begin, group_end);
}

void multiply_glu_amx(const GluProduct& p, std::int64_t unit_begin, std::int64_t unit_end) {
  if (!multiply_glu_tiled<Avx512, AmxTiles>(p, unit_begin, unit_end))
    avx512_table()->multiply_glu(p, unit_begin, unit_end);
}

}  // namespace

const KernelTable* amx_table() {
  static const KernelTable kTable = [] {
    KernelTable table = *avx512_table();
    table.name = "amx";
    table.multiply = multiply_amx;
    table.multiply_glu = multiply_glu_amx;
    return table;
  }();
  return &kTable;
}

}  // namespace choir::kernels
#else
namespace choir::kernels {

const KernelTable* amx_table() { return nullptr; }

}  // namespace choir::kernels
#endif
