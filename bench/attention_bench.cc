// Attention of one token for each of many sequences, as a step of many requests computes it: the
// kernel alone, and what memory it reads. Shape of SmolLM2-135M: 3 KV heads of 64, each with 3
// heads.
//
//   ./dev bench attention            CHOIR_KERNELS=avx2 chooses another table
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/report/report.h"
#include "bench/report/together.h"
#include "choir/machine.h"
#include "kernels/kernel_table.h"

namespace choir::bench {
namespace {

using kernels::AttentionKv;
using kernels::AttentionTile;

constexpr int kKvHeads = 3;
constexpr int kHeads = 3;  // that share a KV head
constexpr int kHeadSize = 64;
constexpr int kCells = 128;  // of each sequence
constexpr int kRuns = 9;
constexpr std::size_t kRowBytes = std::size_t{kKvHeads} * kHeadSize * 2;  // of a cell's keys

// The caches of some layers, filled with halves between 1/16 and 1/8. Cell i of a sequence lies
// where `in_turns` says: beside cell i of the next sequence, as steps of many sequences leave
// them, or behind its cell i - 1.
class Caches {
 public:
  Caches(int sequences, int layers, bool in_turns)
      : sequences_(sequences),
        layers_(layers),
        cache_bytes_(std::size_t{kCells} * static_cast<std::size_t>(sequences) * kRowBytes),
        halves_(2 * static_cast<std::size_t>(layers) * cache_bytes_ / 2) {
    for (std::size_t i = 0; i < halves_.size(); ++i)
      halves_[i] = static_cast<std::uint16_t>(0x2C00 + i * 2654435761U % 1024);
    for (int sequence = 0; sequence < sequences; ++sequence) {
      auto& cells = cells_.emplace_back();
      for (int i = 0; i < kCells; ++i)
        cells.push_back(in_turns ? i * sequences + sequence : sequence * kCells + i);
    }
    queries_.resize(static_cast<std::size_t>(sequences * kKvHeads * kHeads * kHeadSize));
    for (std::size_t i = 0; i < queries_.size(); ++i)
      queries_[i] = static_cast<float>(i * 2654435761U % 256) / 256;
    outputs_.resize(queries_.size());
  }
  double bytes() const { return static_cast<double>(halves_.size()) * 2; }
  double groups() const {  // of 16 cells of a KV head
    return static_cast<double>(layers_ * sequences_ * kKvHeads) * kCells / 16;
  }

  // All layers, for the sequences of one thread of so many.
  void attend(int thread, int threads, float* scratch) {
    const int begin = sequences_ * thread / threads;
    const int end = sequences_ * (thread + 1) / threads;
    for (int layer = 0; layer < layers_; ++layer)
      for (int sequence = begin; sequence < end; ++sequence)
        for (int head = 0; head < kKvHeads; ++head) attend(layer, sequence, end, head, scratch);
  }

 private:
  const std::byte* keys(int layer, int head) const {
    return reinterpret_cast<const std::byte*>(halves_.data()) +
           2 * static_cast<std::size_t>(layer) * cache_bytes_ +
           static_cast<std::size_t>(head) * kHeadSize * 2;
  }
  void attend(int layer, int sequence, int end, int head, float* scratch) {
    AttentionKv kv;
    kv.head_size = kv.head_size_v = kHeadSize;
    kv.k = keys(layer, head);
    kv.v = kv.k + cache_bytes_;
    kv.k_stride = kv.v_stride = kRowBytes;
    AttentionTile tile;
    const auto row = static_cast<std::size_t>((sequence * kKvHeads + head) * kHeads * kHeadSize);
    tile.queries = 1;
    tile.heads = kHeads;
    tile.q = queries_.data() + row;
    tile.out = outputs_.data() + row;
    tile.q_stride = tile.out_stride = kHeadSize;
    tile.scale = 0.125F;
    tile.cells = cells_[static_cast<std::size_t>(sequence)].data();
    tile.ranges[0] = {0, kCells};
    const bool last = head + 1 == kKvHeads;
    const int next = last ? sequence + 1 : sequence;
    if (next < end) {
      tile.next_k = keys(layer, last ? 0 : head + 1);
      tile.next_cells = cells_[static_cast<std::size_t>(next)].data();
      tile.next_count = kCells;
    }
    kernels::active_table()->attend(kv, tile, scratch);
  }

  int sequences_;
  int layers_;
  std::size_t cache_bytes_;
  std::vector<std::uint16_t> halves_;
  std::vector<std::vector<std::int32_t>> cells_;
  std::vector<float> queries_;
  std::vector<float> outputs_;
};

// Seconds of the best of some runs; all threads at once.
double seconds(Caches& caches, int threads, int repeats) {
  const auto floats = static_cast<std::size_t>(kernels::attention_scratch(kCells)) + 16;
  std::vector<std::vector<float>> scratch(static_cast<std::size_t>(threads),
                                          std::vector<float>(floats));
  return best_of(threads, kRuns,
                 [&](int thread) {
                   float* floats_of = scratch[static_cast<std::size_t>(thread)].data();
                   const auto past =
                       reinterpret_cast<std::uintptr_t>(floats_of) % 64 / sizeof(float);
                   for (int i = 0; i < repeats; ++i)
                     caches.attend(thread, threads, floats_of + (past == 0 ? 0 : 16 - past));
                 }) /
         repeats;
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir;
  using namespace choir::bench;
  const Arguments arguments =
      parse(argc, argv, "Attention of one token for each of many sequences");
  if (kernels::active_table() == nullptr) {
    std::fprintf(stderr, "attention: this CPU runs none of our kernels\n");
    return 1;
  }
  const int threads = read_machine().cores;
  std::vector<Row> rows;
  {
    Caches caches(2 * threads, 1, true);
    const double one = seconds(caches, threads, 200);
    rows.push_back(row("in the caches: 16 cells of a KV head, a thread", "ns",
                       1e9 * one * threads / caches.groups(), {}));
  }
  for (const bool in_turns : {true, false}) {
    Caches caches(64, 30, in_turns);
    const double one = seconds(caches, threads, 1);
    const std::string name =
        std::string("64 sequences, 30 layers, cells ") + (in_turns ? "in turns" : "in order");
    rows.push_back(row(name, "ms", 1e3 * one, {}));
    rows.push_back(row(name + ": read", "GB/s", caches.bytes() / one / 1e9, {}, Better::kHigher));
  }
  return finish("attention", rows, arguments);
}
