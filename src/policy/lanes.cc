#include "policy/lanes.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"

namespace choir {

LaneLayout plan_lanes(int contenders, int cores) {
  CHOIR_CHECK(cores >= 1, "a node has at least one core");
  CHOIR_CHECK(contenders >= 0, "a count");
  const int lanes = std::clamp(contenders, 1, cores);
  LaneLayout layout;
  layout.threads.assign(static_cast<std::size_t>(lanes), cores / lanes);
  std::fill_n(layout.threads.begin(), cores % lanes, cores / lanes + 1);
  return layout;
}

}  // namespace choir
