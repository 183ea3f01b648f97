#include "engine/cell_origins.h"

#include <algorithm>

namespace choir {

void CellOrigins::cut(std::size_t slot, std::int32_t tokens) {
  std::vector<Part>& parts = slots_.at(slot);
  std::erase_if(parts, [tokens](const Part& part) { return part.begin >= tokens; });
  parts.push_back(own(tokens));
}

void CellOrigins::fork(std::size_t from, std::size_t to, std::int32_t tokens) {
  slots_.at(to) = slots_.at(from);
  cut(to, tokens);
}

std::vector<CellRun> CellOrigins::runs(std::size_t slot, std::int32_t tokens) const {
  const std::vector<Part>& parts = slots_.at(slot);
  std::vector<CellRun> runs;
  for (std::size_t i = 0; i < parts.size() && parts[i].begin < tokens; ++i) {
    const std::int32_t end = i + 1 < parts.size() ? std::min(parts[i + 1].begin, tokens) : tokens;
    runs.push_back({.origin = parts[i].origin, .cells = end - parts[i].begin});
  }
  return runs;
}

}  // namespace choir
