#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace choir {
namespace {

// Which lead bytes there are, how long their characters are, and what may come second. The bounds
// of the second byte exclude overlong forms, surrogates and what lies above U+10FFFF.
struct Lead {
  std::uint8_t first, last;
  std::uint8_t bytes;
  std::uint8_t second_min, second_max;
};
constexpr Lead kLeads[] = {
    {0x00, 0x7F, 1, 0, 0},       {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF},
    {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF},
    {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

// Bytes of the character that `text` begins with; 0 if it begins with none.
std::size_t character_bytes(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  for (const Lead& lead : kLeads) {
    if (byte(0) < lead.first || byte(0) > lead.last) continue;
    if (text.size() < lead.bytes) return 0;
    if (lead.bytes > 1 && (byte(1) < lead.second_min || byte(1) > lead.second_max)) return 0;
    for (std::size_t i = 2; i < lead.bytes; ++i)
      if ((byte(i) & 0xC0U) != 0x80U) return 0;
    return lead.bytes;
  }
  return 0;
}

// Nearly all text is nearly all ASCII; eight bytes at a time make its check free.
bool begins_with_8_ascii(std::string_view text) {
  if (text.size() < 8) return false;
  std::uint64_t word = 0;
  std::memcpy(&word, text.data(), sizeof word);
  return (word & 0x8080'8080'8080'8080U) == 0;
}

}  // namespace

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const std::size_t bytes = begins_with_8_ascii(rest) ? 8 : character_bytes(rest);
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::nullopt;
}

}  // namespace choir
