// How long a lost daemon is left alone before the next try.
#pragma once

#include <algorithm>
#include <cmath>

namespace choir::app::top {

// Seconds before try `tries` (1, 2, ...), when the connection was lost `down` seconds ago; `random`
// is in [0, 1). In the first minute at most 2.5 s, later at most 19 s. Pure.
inline double pause_before(int tries, double down, double random) {
  const double most = down < 60 ? 2 : 15;
  return std::min(most, 0.5 * std::pow(1.5, std::min(tries - 1, 12))) * (0.75 + random / 2);
}

}  // namespace choir::app::top
