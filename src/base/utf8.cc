#include "base/utf8.h"

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

// Nearly all text is nearly all ASCII; eight bytes at a time make its check free.
bool begins_with_8_ascii(std::string_view text) {
  if (text.size() < 8) return false;
  std::uint64_t word = 0;
  std::memcpy(&word, text.data(), sizeof word);
  return (word & 0x8080'8080'8080'8080U) == 0;
}

}  // namespace

Utf8Front utf8_front(std::string_view text) {
  using Kind = Utf8Front::Kind;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  for (const Lead& lead : kLeads) {
    if (byte(0) < lead.first || byte(0) > lead.last) continue;
    if (lead.bytes == 1) return {Kind::kCharacter, 1, byte(0)};
    char32_t character = byte(0) & (0xFFU >> (lead.bytes + 1U));
    for (std::size_t i = 1; i < lead.bytes; ++i) {
      if (i == text.size()) return {Kind::kUnfinished, i};
      const std::uint8_t low = i == 1 ? lead.second_min : 0x80;
      const std::uint8_t high = i == 1 ? lead.second_max : 0xBF;
      if (byte(i) < low || byte(i) > high) return {Kind::kInvalid, i};
      character = character << 6U | (byte(i) & 0x3FU);
    }
    return {Kind::kCharacter, lead.bytes, character};
  }
  return {};
}

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    if (begins_with_8_ascii(rest)) {
      at += 8;
      continue;
    }
    const Utf8Front front = utf8_front(rest);
    if (front.kind != Utf8Front::Kind::kCharacter) return at;
    at += front.bytes;
  }
  return std::nullopt;
}

std::string utf8_of(char32_t character) {
  const auto tail = [&](unsigned shift) {
    return static_cast<char>(0x80U | (character >> shift & 0x3FU));
  };
  if (character < 0x80) return {static_cast<char>(character)};
  if (character < 0x800) return {static_cast<char>(0xC0U | character >> 6U), tail(0)};
  if (character < 0x10000) return {static_cast<char>(0xE0U | character >> 12U), tail(6), tail(0)};
  return {static_cast<char>(0xF0U | character >> 18U), tail(12), tail(6), tail(0)};
}

}  // namespace choir
