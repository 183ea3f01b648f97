// How many there are of each priority class. A value.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "choir/units.h"

namespace choir {

class ClassCounts {
 public:
  void add(Priority of) { ++counts_.at(static_cast<std::size_t>(of)); }
  void remove(Priority of) { --counts_.at(static_cast<std::size_t>(of)); }
  // The best class that has any; LOW where none has.
  Priority best() const {
    const auto any = std::ranges::find_if(counts_, [](std::int32_t count) { return count > 0; });
    return any == counts_.end() ? Priority::kLow : static_cast<Priority>(any - counts_.begin());
  }
  bool operator==(const ClassCounts&) const = default;

 private:
  std::array<std::int32_t, kPriorityNames.size()> counts_{};
};

}  // namespace choir
