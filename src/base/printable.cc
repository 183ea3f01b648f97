#include "choir/text.h"

#include <algorithm>
#include <cstdint>

namespace choir {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kDots = "...";

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

// Table 3-7 of the Unicode standard: the lead byte gives the length and the bounds of the second
// byte.
Character first_character(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = at(0);
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xC2 || lead > 0xF4) return {};
  const std::size_t bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (text.size() < bytes) return {};
  const std::uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const std::uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (at(1) < low || at(1) > high) return {};
  std::uint32_t code = lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((at(i) & 0xC0U) != 0x80U) return {};
    code = (code << 6U) | (at(i) & 0x3FU);
  }
  return {code, bytes, true};
}

bool moves_the_cursor_or_the_line(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0)  // C0, DEL, C1
         || code == 0x2028 || code == 0x2029           // line and paragraph separator
         || code == 0x200E || code == 0x200F           // direction marks
         || (code >= 0x202A && code <= 0x202E)         // embeddings and overrides
         || (code >= 0x2066 && code <= 0x2069);        // isolates
}

std::string hex(std::string_view prefix, std::uint32_t value, unsigned digits) {
  std::string out(prefix);
  for (unsigned i = digits; i-- > 0;) out += kHex[(value >> (4 * i)) & 0xFU];
  return out;
}

std::string escaped(const Character& c, std::uint8_t byte) {
  if (!c.valid) return hex("\\x", byte, 2);
  switch (c.code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return c.code < 0x80 ? hex("\\x", c.code, 2) : hex("\\u", c.code, 4);
  }
}

}  // namespace

std::string printable_line(std::string_view text, std::size_t characters_max) {
  const std::size_t room = std::max(characters_max, kDots.size() + 1);
  std::string out;
  std::size_t characters = 0;
  std::size_t cut = 0;  // bytes of `out` that leave room for the dots
  while (!text.empty()) {
    const Character c = first_character(text);
    const bool plain = c.valid && !moves_the_cursor_or_the_line(c.code);
    const std::string piece = plain ? std::string(text.substr(0, c.bytes))
                                    : escaped(c, static_cast<std::uint8_t>(text[0]));
    characters += plain ? 1 : piece.size();
    if (characters > room) return out.substr(0, cut).append(kDots);
    out += piece;
    if (characters + kDots.size() <= room) cut = out.size();
    text.remove_prefix(c.bytes);
  }
  return out;
}

}  // namespace choir
