#include "policy/lanes.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"

namespace choir {

LaneLayout plan_lanes(int contenders, int cores, int lanes_max) {
  CHOIR_CHECK(cores >= 1, "a node has at least one core");
  CHOIR_CHECK(contenders >= 0, "a count");
  CHOIR_CHECK(lanes_max >= 1, "a node has at least one lane");
  const int lanes = std::clamp(contenders, 1, std::min(cores, lanes_max));
  LaneLayout layout;
  layout.threads.assign(static_cast<std::size_t>(lanes), cores / lanes);
  std::fill_n(layout.threads.begin(), cores % lanes, cores / lanes + 1);
  return layout;
}

}  // namespace choir
