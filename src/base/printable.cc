#include "choir/text.h"

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"

namespace choir {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kDots = "...";

bool moves_the_cursor_or_the_line(char32_t code) {
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

std::string escaped(char32_t code) {
  switch (code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return code < 0x80 ? hex("\\x", code, 2) : hex("\\u", code, 4);
  }
}

}  // namespace

std::string printable_line(std::string_view text, std::size_t characters_max) {
  const std::size_t room = std::max(characters_max, kDots.size() + 1);
  std::string out;
  std::size_t characters = 0;
  std::size_t cut = 0;  // bytes of `out` that leave room for the dots
  while (!text.empty()) {
    const Utf8Front front = utf8_front(text);
    const bool valid = front.kind == Utf8Front::Kind::kCharacter;
    const bool plain = valid && !moves_the_cursor_or_the_line(front.character);
    // Of what is no character one byte after the other.
    const std::string_view part = text.substr(0, valid ? front.bytes : 1);
    const std::string piece = plain   ? std::string(part)
                              : valid ? escaped(front.character)
                                      : hex("\\x", static_cast<std::uint8_t>(part[0]), 2);
    characters += plain ? 1 : piece.size();
    if (characters > room) return out.substr(0, cut).append(kDots);
    out += piece;
    if (characters + kDots.size() <= room) cut = out.size();
    text.remove_prefix(part.size());
  }
  return out;
}

}  // namespace choir
