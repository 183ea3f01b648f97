#include "policy/shared_front.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>
#include <optional>

namespace choir {
namespace {

using Sequences = std::span<const std::vector<CellRun>>;

// Of the cell at `place`; nullopt: the sequence has none there.
std::optional<std::uint64_t> origin_at(std::span<const CellRun> runs, std::int32_t place) {
  for (const CellRun& run : runs) {
    if (place < run.cells) return run.origin;
    place -= run.cells;
  }
  return std::nullopt;
}

// Those of `holders`, which share their first `begin` cells, by what comes after these.
void find_fronts(Sequences sequences, const std::vector<std::size_t>& holders, std::int32_t begin,
                 std::int32_t depth, std::vector<SharedFront>& fronts) {
  std::vector<std::size_t> left = holders;
  while (left.size() > 1) {
    const std::size_t first = left.front();
    const auto origin = origin_at(sequences[first], begin);
    std::vector<std::size_t> together;
    std::vector<std::size_t> others;
    std::int32_t cells = std::numeric_limits<std::int32_t>::max();
    for (const std::size_t one : left) {
      if (one != first && (!origin || origin_at(sequences[one], begin) != origin)) {
        others.push_back(one);
        continue;
      }
      together.push_back(one);
      if (one != first) cells = std::min(cells, shared_cells(sequences[first], sequences[one]));
    }
    if (together.size() > 1) {
      const auto more = static_cast<std::int32_t>(together.size()) - 1;
      fronts.push_back({.cells = cells,
                        .saved_cells = (cells - begin) * more,
                        .depth = depth,
                        .holders = together});
      find_fronts(sequences, together, cells, depth + 1, fronts);
    }
    left = std::move(others);
  }
}

}  // namespace

std::int32_t shared_cells(std::span<const CellRun> a, std::span<const CellRun> b) {
  std::int32_t cells = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i].origin != b[i].origin) break;
    cells += std::min(a[i].cells, b[i].cells);
    if (a[i].cells != b[i].cells) break;
  }
  return cells;
}

std::vector<SharedFront> shared_fronts(Sequences sequences) {
  std::vector<std::size_t> all(sequences.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  std::vector<SharedFront> fronts;
  find_fronts(sequences, all, 0, 0, fronts);
  return fronts;
}

}  // namespace choir
