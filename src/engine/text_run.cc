#include "engine/text_run.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace choir {
namespace {

constexpr std::uint8_t kSolid = 1;  // may be in a stretch without white space
constexpr std::uint8_t kBlank = 2;  // ... of white space
constexpr std::uint8_t kWords = 4;  // ... of words and the blanks between them

constexpr std::uint8_t kinds_of(unsigned byte) {
  if (byte >= 0x80) return kSolid | kBlank | kWords;
  if (byte == ' ') return kBlank | kWords;
  if (byte >= '\t' && byte <= '\r') return kBlank;
  const unsigned lower = byte | 0x20U;
  return lower >= 'a' && lower <= 'z' ? kSolid | kWords : kSolid;
}

constexpr std::array<std::uint8_t, 256> kKinds = [] {
  std::array<std::uint8_t, 256> kinds{};
  for (unsigned byte = 0; byte < kinds.size(); ++byte) kinds.at(byte) = kinds_of(byte);
  return kinds;
}();

}  // namespace

std::size_t longest_run(std::string_view text) {
  std::size_t solid = 0;
  std::size_t blank = 0;
  std::size_t words = 0;
  std::size_t longest = 0;
  for (const char c : text) {
    const std::uint8_t kinds = kKinds[static_cast<unsigned char>(c)];
    solid = (kinds & kSolid) != 0 ? solid + 1 : 0;
    blank = (kinds & kBlank) != 0 ? blank + 1 : 0;
    words = (kinds & kWords) != 0 ? words + 1 : 0;
    longest = std::max({longest, solid, blank, words});
  }
  return longest;
}

}  // namespace choir
