// How fast all cores together read memory, which no model that is larger than the caches can exceed
// in decoding one sequence: each token reads all weights once.
//
//   ./dev bench memory
#include <sys/mman.h>

#include <cstdint>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/machine.h"
#include "bench/report/report.h"
#include "bench/report/together.h"

namespace choir::bench {
namespace {

constexpr std::size_t kBytes = std::size_t{1} << 30;
constexpr int kRuns = 8;

// As our weights lie: pages of their own, large where the kernel has some.
std::uint64_t* pages() {
  void* made = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHOIR_CHECK(made != MAP_FAILED, "no memory for a buffer of 1 GiB");
  madvise(made, kBytes, MADV_HUGEPAGE);
  return static_cast<std::uint64_t*>(made);
}

// Four sums, so that no addition waits for the one before it.
std::uint64_t sum_of(const std::uint64_t* from, std::size_t count) {
  std::uint64_t sums[4][8] = {};
  for (std::size_t i = 0; i + 32 <= count; i += 32)
    for (std::size_t part = 0; part < 4; ++part)
      for (std::size_t lane = 0; lane < 8; ++lane) sums[part][lane] += from[i + part * 8 + lane];
  std::uint64_t all = 0;
  for (const auto& part : sums)
    for (const std::uint64_t sum : part) all += sum;
  return all;
}

// Gigabytes a second of the best of some runs; each thread reads its share, all at once.
double read_rate(int threads) {
  std::uint64_t* const buffer = pages();
  const std::size_t share = kBytes / sizeof(*buffer) / static_cast<std::size_t>(threads) / 32 * 32;
  const auto share_of = [&](int thread) {
    return buffer + static_cast<std::size_t>(thread) * share;
  };
  // Each thread touches its pages first, so that they lie near it.
  best_of(threads, 1, [&](int thread) {
    std::iota(share_of(thread), share_of(thread) + share, static_cast<std::size_t>(thread) * share);
  });
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads));
  const double best = best_of(threads, kRuns, [&](int thread) {
    sums[static_cast<std::size_t>(thread)] = sum_of(share_of(thread), share);
  });
  const std::uint64_t count = share * static_cast<std::uint64_t>(threads);
  std::uint64_t sum = 0;
  for (const std::uint64_t part : sums) sum += part;
  CHOIR_CHECK(sum == count * (count - 1) / 2, "every number is read once");
  munmap(buffer, kBytes);
  return static_cast<double>(count * sizeof(*buffer)) / best / 1e9;
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir::bench;
  const Arguments arguments = parse(argc, argv, "How fast all cores together read memory");
  const int cores = choir::read_machine().cores;
  return finish("memory",
                {row("all cores read 1 GiB", "GB/s", read_rate(cores), {}, Better::kHigher)},
                arguments);
}
