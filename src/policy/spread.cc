#include "policy/spread.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <tuple>

namespace choir {
namespace {

struct Row {
  ExecutorId id;
  std::int64_t fixed;
  std::int64_t length;  // now
  std::int64_t wanted;  // length after the moves
};

// Length of all when each is filled up to `level`.
std::int64_t filled(const std::vector<Row>& rows, std::int64_t level) {
  std::int64_t sum = 0;
  for (const Row& row : rows) sum += std::max(row.fixed, level);
  return sum;
}

// The highest level that `total` requests fill.
std::int64_t level_of(const std::vector<Row>& rows, std::int64_t total) {
  std::int64_t low = 0;
  std::int64_t high = total / std::ssize(rows);
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (filled(rows, middle) <= total) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

std::vector<Row> wanted_lengths(std::span<const QueueView> queues) {
  std::vector<Row> rows;
  std::int64_t total = 0;
  for (const QueueView& queue : queues) {
    const std::int64_t length = std::int64_t{queue.queued} + queue.fixed;
    rows.push_back({queue.id, queue.fixed, length, 0});
    total += length;
  }
  const std::int64_t level = level_of(rows, total);
  std::int64_t rest = total - filled(rows, level);

  // What is above the level goes to those that have it there already, so that it need not move.
  std::ranges::sort(rows, [](const Row& a, const Row& b) {
    return std::tie(b.length, a.id) < std::tie(a.length, b.id);
  });
  for (Row& row : rows) {
    row.wanted = std::max(row.fixed, level);
    if (row.fixed > level || rest == 0) continue;
    ++row.wanted;
    --rest;
  }
  std::ranges::sort(rows, {}, &Row::id);
  return rows;
}

}  // namespace

std::vector<Move> spread(std::span<const QueueView> queues) {
  if (queues.empty()) return {};
  std::vector<Row> rows = wanted_lengths(queues);
  std::vector<Move> moves;
  std::size_t to = 0;
  for (Row& from : rows) {
    while (from.length > from.wanted) {
      while (rows[to].length >= rows[to].wanted) ++to;
      const std::int64_t count =
          std::min(from.length - from.wanted, rows[to].wanted - rows[to].length);
      moves.push_back({from.id, rows[to].id, static_cast<std::int32_t>(count)});
      from.length -= count;
      rows[to].length += count;
    }
  }
  return moves;
}

}  // namespace choir
