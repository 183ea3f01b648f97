#include "engine/text.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

namespace choir {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

unsigned char byte(char c) { return static_cast<unsigned char>(c); }

// Bytes of the character that `lead` begins; 0 for one that begins none.
std::size_t character_bytes(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;  // continuations, and two bytes for what fits in one
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

// Unicode, table 3-7: after some leads the second byte has less room, against overlong forms,
// surrogates, and what is past U+10FFFF.
bool goes_on(std::string_view begun, unsigned char next) {
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (begun.size() == 1) {
    const unsigned char lead = byte(begun[0]);
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  }
  return next >= low && next <= high;
}

// Moves whole characters from `begun` and `piece` to `text`.
void decode(std::string& begun, std::string_view piece, std::string& text) {
  for (const char c : piece) {
    if (!begun.empty()) {
      if (goes_on(begun, byte(c))) {
        begun += c;
        if (begun.size() == character_bytes(byte(begun[0]))) {
          text += begun;
          begun.clear();
        }
        continue;
      }
      text += kReplacement;  // for all that was begun; `c` starts anew
      begun.clear();
    }
    switch (character_bytes(byte(c))) {
      case 0:
        text += kReplacement;
        break;
      case 1:
        text += c;
        break;
      default:
        begun = c;
    }
  }
}

// One that is empty would end every text, and one that begins inside a character would split it.
bool usable(std::string_view stop) { return !stop.empty() && (byte(stop[0]) & 0xC0) != 0x80; }

// Where the stop string begins that is complete first, looking at ends behind `checked` bytes; the
// longest of those that end together. This is what feeding byte by byte would find.
std::optional<std::size_t> find_stop(std::string_view text, std::size_t checked,
                                     std::span<const std::string> stops) {
  std::size_t best_end = text.size() + 1;
  std::size_t best_begin = 0;
  for (const std::string& stop : stops) {
    if (!usable(stop)) continue;
    const std::size_t from = checked < stop.size() ? 0 : checked + 1 - stop.size();
    const std::size_t begin = text.find(stop, from);
    if (begin == std::string_view::npos) continue;
    const std::size_t end = begin + stop.size();
    if (end < best_end || (end == best_end && begin < best_begin)) {
      best_end = end;
      best_begin = begin;
    }
  }
  if (best_end > text.size()) return std::nullopt;
  return best_begin;
}

// The first place from which the rest of the text is the beginning of a stop string; its size if
// none.
std::size_t undecided_from(std::string_view text, std::span<const std::string> stops) {
  std::size_t first = text.size();
  for (const std::string& stop : stops) {
    if (!usable(stop)) continue;
    std::size_t at = text.size() - std::min(text.size(), stop.size() - 1);
    while (at < first && !stop.starts_with(text.substr(at))) ++at;
    first = std::min(first, at);
  }
  return first;
}

}  // namespace

TextEnd append_piece(TextCarry& carry, std::string_view piece, std::span<const std::string> stop,
                     std::string& out) {
  // Most pieces: plain, with nothing held back before them and nothing to look for.
  if (stop.empty() && carry.bytes.empty() && carry.pending.empty() &&
      std::ranges::all_of(piece, [](char c) { return byte(c) < 0x80; })) {
    out += piece;
    return TextEnd::kOpen;
  }
  std::string& text = carry.pending;
  const std::size_t checked = text.size();
  // The carry may come from a file; decoding it again costs at most three bytes and trusts nothing.
  const std::string begun = std::exchange(carry.bytes, {});
  decode(carry.bytes, begun, text);
  decode(carry.bytes, piece, text);

  if (const auto begin = find_stop(text, checked, stop)) {
    out.append(text, 0, *begin);
    carry = {};
    return TextEnd::kStopString;
  }
  const std::size_t undecided = undecided_from(text, stop);
  out.append(text, 0, undecided);
  text.erase(0, undecided);
  return TextEnd::kOpen;
}

void finish_text(TextCarry& carry, std::string& out) {
  out += carry.pending;
  carry = {};
}

}  // namespace choir
