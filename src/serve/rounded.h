// Figures with as many digits as somebody reads. Pure.
#pragma once

#include <cmath>

namespace choir::serve {

// Seconds with three digits behind the point.
inline double whole_milliseconds(double seconds) { return std::round(seconds * 1000) / 1000; }

}  // namespace choir::serve
