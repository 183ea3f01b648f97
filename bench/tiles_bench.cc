// What AMX gives to the products of packed weights: the instructions alone, then products of each
// type with tiles beside the avx512 table, whose bits they have.
//
// It says nothing where the CPU, or the system, has no AMX. docs/performance.md has the log.
//
//   ./dev bench tiles
#include <ggml.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "bench/report/together.h"
#include "choir/machine.h"
#include "kernels/kernel_table.h"

#define CHOIR_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512dq")))

namespace choir::bench {
namespace {

using kernels::PackedShape;

// Asks for the tiles of the whole process. Before there are threads.
bool permitted() {
  constexpr long kRequest = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  std::ifstream file("/proc/cpuinfo");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return text.find("amx_int8") != std::string::npos &&
         syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

constexpr int kRuns = 30;

// The best of each, in alternating runs: the machine is not always equally fast.
std::vector<double> best_of(int threads, const std::vector<std::function<void(int)>>& works) {
  std::vector<double> best(works.size(), 1e9);
  for (int run = 0; run < kRuns; ++run)
    for (std::size_t i = 0; i < works.size(); ++i)
      best[i] = std::min(best[i], together(threads, works[i]));
  return best;
}

// --- the instructions alone ---

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

constexpr long kRounds = 50'000;

void only_tiles(int columns) {
  shape_tiles(columns);
  for (long i = 0; i < kRounds; ++i)
    asm volatile(
        "tdpbssd %tmm6, %tmm4, %tmm0\n\ttdpbssd %tmm7, %tmm4, %tmm1\n\t"
        "tdpbssd %tmm6, %tmm5, %tmm2\n\ttdpbssd %tmm7, %tmm5, %tmm3");
}

#define CHOIR_EIGHT(what, from)                                                     \
  what from "0\n\t" what from "1\n\t" what from "2\n\t" what from "3\n\t" what from \
            "4\n\t" what from "5\n\t" what from "6\n\t" what from "7\n\t"
#define CHOIR_SUMS                                                                           \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15", "xmm16", "xmm17"

CHOIR_AVX512 void only_vnni() {
  for (long i = 0; i < kRounds; ++i)
    asm volatile(CHOIR_EIGHT("vpdpbusd %%zmm30, %%zmm31, ", "%%zmm")
                     CHOIR_EIGHT("vpdpbusd %%zmm30, %%zmm31, ", "%%zmm1")::
                         : CHOIR_SUMS);
}

// 32 multiply-adds of 16 floats, beside the load of one tile or not.
template <bool kTile>
CHOIR_AVX512 void only_floats() {
  alignas(64) static const std::byte numbers[1024] = {};
  shape_tiles(32);
  for (long i = 0; i < kRounds; ++i) {
    if constexpr (kTile) load_tile<6>(numbers, 64);
    asm volatile(CHOIR_EIGHT("vfmadd231ps %%zmm30, %%zmm31, ", "%%zmm")
                     CHOIR_EIGHT("vfmadd231ps %%zmm30, %%zmm31, ", "%%zmm1")
                         CHOIR_EIGHT("vfmadd231ps %%zmm30, %%zmm31, ", "%%zmm")
                             CHOIR_EIGHT("vfmadd231ps %%zmm30, %%zmm31, ", "%%zmm1")::
                                 : CHOIR_SUMS);
  }
}

void instructions(int threads, std::vector<Row>& rows) {
  const std::vector<double> best =
      best_of(threads, {[](int) { only_tiles(64); }, [](int) { only_tiles(32); },
                        [](int) { only_tiles(16); }, [](int) { only_vnni(); },
                        [](int) { only_floats<true>(); }, [](int) { only_floats<false>(); }});
  const auto rate = [&](std::size_t i, double each) {
    return each * static_cast<double>(kRounds * threads) / best[i] / 1e9;
  };
  const std::string with = ", threads: " + std::to_string(threads);
  for (std::size_t i = 0; i < 3; ++i) {
    const int columns = 64 >> i;
    rows.push_back({.name = "tiles of " + std::to_string(columns) + " columns" + with,
                    .unit = "GMAC/s",
                    .choir = rate(i, 4.0 * 256 * columns),
                    .peer = rate(3, 16.0 * 64),
                    .peer_name = "vpdpbusd",
                    .goal = {}});
  }
  rows.push_back({.name = "float multiply-adds beside tileloadd" + with,
                  .unit = "G/s",
                  .choir = rate(4, 32.0 * 16),
                  .peer = rate(5, 32.0 * 16),
                  .peer_name = "alone",
                  .goal = {}});
}

// --- products ---

constexpr std::int64_t kOutputs = 2048;                // weights that stay in a core's cache
constexpr std::int64_t kOutputsFromMemory = 96 << 10;  // of 8,192 columns: 800 million weights

template <class T>
std::unique_ptr<T, decltype(&std::free)> lines(std::size_t count) {
  return {static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64)), std::free};
}

// Normal numbers in a type of a file, of one group of outputs; all groups are the same.
std::unique_ptr<std::byte, decltype(&std::free)> random_weights(const PackedShape& shape,
                                                                ggml_type type,
                                                                std::mt19937& random) {
  PackedShape one = shape;
  one.rows = kernels::kGroupRows;
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<std::size_t>(one.rows * one.columns));
  for (float& x : numbers) x = normal(random);
  std::vector<std::byte> file(ggml_row_size(type, one.columns) * kernels::kGroupRows);
  ggml_quantize_chunk(type, numbers.data(), file.data(), 0, one.rows, one.columns, nullptr);
  auto weights = lines<std::byte>(shape.bytes());
  kernels::pack(one, file.data(), weights.get());
  for (std::int64_t group = 1; group < shape.groups(); ++group)
    std::memcpy(weights.get() + static_cast<std::size_t>(group) * shape.group_bytes(),
                weights.get(), shape.group_bytes());
  return weights;
}

struct Type {
  ggml_type type;
  const char* name;
};

// A product with tiles beside the avx512 table. Each thread has whole pairs of groups.
void beside_avx512(const Type& type, std::int64_t columns, std::int64_t outputs, std::int64_t batch,
                   int threads, std::vector<Row>& rows) {
  const PackedShape shape = {*kernels::packed_type(type.type), columns, outputs};
  const kernels::KernelTable& table = *kernels::avx512_table();
  std::mt19937 random(7);
  const auto weights = random_weights(shape, type.type, random);
  std::normal_distribution<float> normal;
  std::vector<float> a(static_cast<std::size_t>(batch * shape.columns));
  for (float& x : a) x = normal(random);
  const auto prepared =
      lines<std::byte>(kernels::prepared_bytes(shape) * static_cast<std::size_t>(batch));
  for (std::int64_t row = 0; row < batch; ++row)
    table.prepare_row(shape, a.data() + row * shape.columns,
                      kernels::place_row(row, batch, table.rows_max), prepared.get());
  std::vector<float> theirs(static_cast<std::size_t>(batch * shape.rows));
  std::vector<float> ours(theirs.size());
  kernels::Product p;
  p.shape = shape;
  p.weights = weights.get();
  p.prepared = prepared.get();
  p.rows = batch;
  p.c_stride = shape.rows;
  const std::int64_t each = shape.groups() / threads / 2 * 2;
  const auto end_of = [&](int t) { return t + 1 == threads ? shape.groups() : (t + 1) * each; };
  const std::vector<double> best =
      best_of(threads, {[&](int t) {
                          kernels::Product mine = p;
                          mine.c = ours.data();
                          kernels::amx_table()->multiply(mine, t * each, end_of(t));
                        },
                        [&](int t) {
                          kernels::Product mine = p;
                          mine.c = theirs.data();
                          table.multiply(mine, t * each, end_of(t));
                        }});
  CHOIR_CHECK(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)) == 0,
              "tiles give the bits of the avx512 table");
  const double products = static_cast<double>(shape.columns * shape.rows * batch) / 1e9;
  rows.push_back({.name = std::string(type.name) + " " + std::to_string(shape.columns) + " x " +
                          std::to_string(shape.rows) + ", batch " + std::to_string(batch) +
                          ", threads: " + std::to_string(threads),
                  .unit = "GMAC/s",
                  .choir = products / best[0],
                  .peer = products / best[1],
                  .peer_name = "avx512",
                  .goal = {}});
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir::bench;
  const Arguments arguments =
      parse(argc, argv, "AMX tiles alone, and products with them beside the avx512 table");
  std::vector<Row> rows;
  if (choir::kernels::avx512_table() == nullptr || !permitted()) {
    std::fprintf(stderr, "no AMX here: nothing is measured\n");
    return finish("tiles", rows, arguments);
  }
  const int cores = choir::read_machine().cores;
  for (const int threads : {1, cores}) {
    if (threads == cores && cores == 1) continue;
    instructions(threads, rows);
  }
  if (choir::kernels::amx_table() != nullptr) {
    constexpr Type kTypes[] = {{GGML_TYPE_Q4_0, "Q4_0"}, {GGML_TYPE_Q4_1, "Q4_1"},
                               {GGML_TYPE_Q5_1, "Q5_1"}, {GGML_TYPE_Q8_0, "Q8_0"},
                               {GGML_TYPE_Q4_K, "Q4_K"}, {GGML_TYPE_Q5_K, "Q5_K"},
                               {GGML_TYPE_Q6_K, "Q6_K"}};
    for (const Type& type : kTypes) {
      const std::int64_t small = ggml_blck_size(type.type) == 32 ? 576 : 768;
      for (const std::int64_t columns : {small, std::int64_t{2048}, std::int64_t{4096}})
        for (const std::int64_t batch : {8, 16, 32, 64, 256, 512})
          beside_avx512(type, columns, kOutputs, batch, 1, rows);
    }
    for (const Type& type : kTypes)
      for (const std::int64_t batch : {5, 8, 12, 16, 24, 32, 64})
        beside_avx512(type, 8192, kOutputsFromMemory, batch, cores, rows);
  }
  return finish("tiles", rows, arguments);
}
