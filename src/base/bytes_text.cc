#include "choir/text.h"

#include <array>
#include <cstdio>

namespace choir {

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array kUnits = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  // One digit after the point only where it says something: 1.4 GB, but 98 MB and 14 bytes.
  const int digits = unit > 0 && value < 9.95 ? 1 : 0;
  std::snprintf(text.data(), text.size(), "%.*f %s", digits, value,
                bytes == 1 ? "byte" : kUnits.at(unit));
  return text.data();
}

}  // namespace choir
