// What AMX would give to the products of packed weights: the instructions alone, then an
// arrangement of them that gives the same bits as the avx512 table, beside that table.
//
// It says nothing where the CPU, or the system, has no AMX. docs/performance.md has the log.
//
//   ./dev bench tiles
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "bench/tiles/products.h"
#include "choir/machine.h"
#include "kernels/kernel_table.h"

namespace choir::bench {
namespace {

// Asks for the tiles of the whole process. Before there are threads.
bool permitted() {
  constexpr long kRequest = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  std::ifstream file("/proc/cpuinfo");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return text.find("amx_int8") != std::string::npos &&
         syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

double seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Seconds in which each of the threads did its work.
double together(int threads, const std::function<void(int)>& work) {
  return seconds([&] {
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
    work(0);
    for (std::thread& other : others) other.join();
  });
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

// Any bits are weights, except that a half must be a number.
std::unique_ptr<std::byte, decltype(&std::free)> random_weights(const PackedShape& shape,
                                                                std::mt19937& random) {
  auto weights = lines<std::byte>(shape.bytes());
  for (std::size_t i = 0; i < shape.bytes(); ++i)
    weights.get()[i] = static_cast<std::byte>(random());
  // K types have whole scales, of 6 bits but for Q6_K, and halves behind them.
  if (shape.type == PackedType::kQ4K || shape.type == PackedType::kQ5K)
    for (std::size_t i = 0; i < shape.bytes(); ++i)
      if (i % shape.group_bytes() >= shape.scales_offset()) weights.get()[i] &= std::byte{63};
  const bool super = kernels::is_super(shape.type);
  const std::size_t begin = super ? shape.supers_offset() : shape.scales_offset();
  const std::size_t end = super ? shape.group_bytes() : shape.supers_offset();
  for (std::int64_t g = 0; g < shape.groups(); ++g)
    for (std::size_t i = begin; i < end; i += 2) {
      const auto half = static_cast<std::uint16_t>(0x2000 + random() % 0x400);
      std::memcpy(weights.get() + static_cast<std::size_t>(g) * shape.group_bytes() + i, &half, 2);
    }
  return weights;
}

// Groups [begin, end) of a product with tiles, by one of the threads.
using TileWork =
    std::function<void(const kernels::Product& p, int t, std::int64_t begin, std::int64_t end)>;

// A product with tiles beside the avx512 table. Each thread has whole pairs of groups.
void beside_avx512(const PackedShape& shape, const char* name, std::int64_t batch, int threads,
                   const TileWork& with_tiles, std::vector<Row>& rows) {
  const kernels::KernelTable& table = *kernels::avx512_table();
  std::mt19937 random(7);
  const auto weights = random_weights(shape, random);
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
  const std::vector<double> best = best_of(threads, {[&](int t) {
                                                       kernels::Product mine = p;
                                                       mine.c = ours.data();
                                                       with_tiles(mine, t, t * each, end_of(t));
                                                     },
                                                     [&](int t) {
                                                       kernels::Product mine = p;
                                                       mine.c = theirs.data();
                                                       table.multiply(mine, t * each, end_of(t));
                                                     }});
  CHOIR_CHECK(std::memcmp(ours.data(), theirs.data(), ours.size() * sizeof(float)) == 0,
              "tiles give the bits of the avx512 table");
  const double products = static_cast<double>(shape.columns * shape.rows * batch) / 1e9;
  rows.push_back({.name = std::string(name) + " " + std::to_string(shape.columns) + " x " +
                          std::to_string(shape.rows) + ", batch " + std::to_string(batch) +
                          ", threads: " + std::to_string(threads),
                  .unit = "GMAC/s",
                  .choir = products / best[0],
                  .peer = products / best[1],
                  .peer_name = "avx512",
                  .goal = {}});
}

// Of a type that has a scale for every 32 columns, with the arrangement of bench/tiles.
template <PackedType kType>
void product(const char* name, std::int64_t columns, std::int64_t batch, int threads,
             std::vector<Row>& rows) {
  std::vector<std::unique_ptr<Quadrants, decltype(&std::free)>> quadrants;
  std::vector<std::unique_ptr<Scratch, decltype(&std::free)>> scratches;
  for (int t = 0; t < threads; ++t) {
    quadrants.push_back(lines<Quadrants>(static_cast<std::size_t>(batch / 32)));
    scratches.push_back(lines<Scratch>(1));
  }
  const auto work = [&](const kernels::Product& p, int t, std::int64_t begin, std::int64_t end) {
    const auto thread = static_cast<std::size_t>(t);
    shape_tiles(32);
    multiply_with_tiles<kType>(p, begin, end, *scratches[thread], quadrants[thread].get());
  };
  beside_avx512({kType, columns, 1024}, name, batch, threads, work, rows);
}

// Of a K type, whose tiles are in the amx table.
void k_product(const PackedShape& shape, const char* name, std::int64_t batch, int threads,
               std::vector<Row>& rows) {
  const auto work = [](const kernels::Product& p, int, std::int64_t begin, std::int64_t end) {
    kernels::amx_table()->multiply(p, begin, end);
  };
  beside_avx512(shape, name, batch, threads, work, rows);
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
  using choir::kernels::PackedType;
  if (choir::kernels::amx_table() != nullptr) {
    for (const std::int64_t columns : {768, 2048, 4096})
      for (const std::int64_t batch : {16, 32, 64, 256, 512})
        for (const auto& [type, name] : {std::pair{PackedType::kQ4K, "Q4_K"},
                                         {PackedType::kQ5K, "Q5_K"},
                                         {PackedType::kQ6K, "Q6_K"}})
          k_product({type, columns, kOutputs}, name, batch, 1, rows);
    for (const auto& [type, name] :
         {std::pair{PackedType::kQ4K, "Q4_K"}, {PackedType::kQ6K, "Q6_K"}})
      for (const std::int64_t batch : {5, 8, 12, 16, 24, 32, 64})
        k_product({type, 8192, kOutputsFromMemory}, name, batch, cores, rows);
  }
  for (const std::int64_t columns : {640, 2048, 4096})
    for (const std::int64_t batch : {32, 256}) {
      product<PackedType::kQ41>("Q4_1", columns, batch, 1, rows);
      product<PackedType::kQ80>("Q8_0", columns, batch, 1, rows);
    }
  return finish("tiles", rows, arguments);
}
