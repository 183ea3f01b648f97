// Decides which queued requests move between the replicas of a group, so that none waits behind
// others while a replica has less to do.
//
// Pure, as all of policy/. Idea: water filling, with the running requests as the bottom.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "choir/ids.h"

namespace choir {

// One replica. Its length is queued + fixed. No count is negative; no id appears twice.
struct QueueView {
  ExecutorId id;
  std::int32_t queued = 0;  // requests not begun: may move
  std::int32_t fixed = 0;   // requests running: cannot
  bool operator==(const QueueView&) const = default;
};

// `count` queued requests of `from`, at least one, go to `to`.
struct Move {
  ExecutorId from;
  ExecutorId to;
  std::int32_t count = 0;
  bool operator==(const Move&) const = default;
};

// The moves after which lengths differ by at most one, as far as the fixed ones allow: a replica
// that is longer than another by two or more has nothing queued. As few requests move as this
// needs, so none when it holds already; no replica both gives and gets.
//
// In order of `from`, then of `to`, each pair once. Where one of several equally long replicas is
// to be longer than the others it is the one with the smallest id. The order of the input does not
// matter. Cost: O(n log n), and at most 32 passes over the input.
std::vector<Move> spread(std::span<const QueueView> queues);

}  // namespace choir
