#include "engine/text.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/utf8.h"

namespace choir {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Adds `piece` to what was begun, and moves whole characters from there to `text`.
void decode(std::string& begun, std::string_view piece, std::string& text) {
  std::string joined;
  std::string_view rest = piece;
  if (!begun.empty()) rest = joined = std::exchange(begun, {}).append(piece);
  while (!rest.empty()) {
    const Utf8Front front = utf8_front(rest);
    const std::string_view part = rest.substr(0, front.bytes);
    if (front.kind == Utf8Front::Kind::kUnfinished)
      begun = part;
    else
      text += front.kind == Utf8Front::Kind::kCharacter ? part : kReplacement;
    rest.remove_prefix(part.size());
  }
}

// One that is empty would end every text, and one that begins inside a character would split it.
bool usable(std::string_view stop) { return !stop.empty() && !continues_utf8(stop[0]); }

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
      std::ranges::all_of(piece, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    out += piece;
    return TextEnd::kOpen;
  }
  std::string& text = carry.pending;
  const std::size_t checked = text.size();
  // The carry may come from a file; decoding it again costs at most three bytes and trusts nothing.
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
