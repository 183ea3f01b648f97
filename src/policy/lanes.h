// Decides how the allowed cores are cut into lanes.
//
// Measured with four models on two cores: two lanes of one thread beat one lane of two threads by
// 1.3 to 1.5x (fewer barriers); a single busy model wants all cores on one lane.
#pragma once

#include <vector>

namespace choir {

// threads[i] cores for lane i, in core order; their sum is exactly the cores given.
struct LaneLayout {
  std::vector<int> threads;
  bool operator==(const LaneLayout&) const = default;
};

// `contenders`: executors that could run right now, counting only the best class among them.
// `lanes_max`: never more lanes than that; fewer and wider ones may be faster where cores share a
// cache or a memory channel (choir/tuning.h measures it).
// min(contenders, cores, lanes_max) lanes, at least one, with the cores spread evenly, wider lanes
// first. Needs cores >= 1, contenders >= 0, lanes_max >= 1.
LaneLayout plan_lanes(int contenders, int cores, int lanes_max);

}  // namespace choir
