// choir/tuning.h: what to measure and what to take.
#include "choir/tuning.h"

#include <algorithm>

#include "base/check.h"

namespace choir {

std::vector<std::int32_t> lanes_candidates(std::int32_t cores) {
  CHOIR_CHECK(cores >= 1, "a machine has a core");
  std::vector<std::int32_t> candidates;
  for (std::int32_t lanes = 1; lanes < cores; lanes *= 2) candidates.push_back(lanes);
  candidates.push_back(cores);
  return candidates;
}

std::int32_t choose_lanes(const std::vector<LanesRate>& rates, std::int32_t cores) {
  const auto as_usual = std::ranges::find(rates, cores, &LanesRate::lanes_max);
  CHOIR_CHECK(as_usual != rates.end(), "the default is measured beside the others");
  const auto best = std::ranges::max_element(rates, {}, &LanesRate::tokens_per_second);
  const double needed = as_usual->tokens_per_second * (1 + kTuningGainMin);
  return best->tokens_per_second > needed ? best->lanes_max : cores;
}

}  // namespace choir
