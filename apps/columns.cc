#include "columns.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>

#include "choir/text.h"

namespace choir::app {
namespace {

constexpr std::size_t kCharactersPerColumn = 8;  // with all its combining marks; more are cut
constexpr std::string_view kDots = "...";
constexpr std::int32_t kEmojiStyle = 0xFE0F;  // asks for the coloured picture, which is wide

struct Character {
  std::int32_t code = 0;
  std::size_t bytes = 1;
  std::size_t columns = 1;
};

Character first_character(std::string_view text) {
  Character c;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto size = utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &c.code);
  if (size <= 0) return {};
  c.bytes = static_cast<std::size_t>(size);
  c.columns = c.code == kEmojiStyle ? 2 : static_cast<std::size_t>(utf8proc_charwidth(c.code));
  return c;
}

// What a reader takes for one character: a letter with its marks, a flag of two letters, a family
// of joined emoji. A terminal gives it two columns at most.
Character first_cluster(std::string_view text) {
  Character cluster = first_character(text);
  utf8proc_int32_t state = 0;
  std::int32_t last = cluster.code;
  while (cluster.bytes < text.size()) {
    const Character next = first_character(text.substr(cluster.bytes));
    if (utf8proc_grapheme_break_stateful(last, next.code, &state)) break;
    cluster.bytes += next.bytes;
    cluster.columns += next.columns;
    last = next.code;
  }
  cluster.columns = std::min<std::size_t>(cluster.columns, 2);
  return cluster;
}

}  // namespace

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character cluster = first_cluster(text);
    columns += cluster.columns;
    text.remove_prefix(cluster.bytes);
  }
  return columns;
}

std::string line_of_columns(std::string_view text, std::size_t columns_max) {
  const std::size_t room = std::max(columns_max, kDots.size() + 1);
  std::string line = printable_line(text, room * kCharactersPerColumn);
  std::size_t columns = 0;
  std::size_t cut = 0;  // bytes that leave room for the dots
  for (std::size_t at = 0; at < line.size();) {
    const Character cluster = first_cluster(std::string_view(line).substr(at));
    columns += cluster.columns;
    if (columns > room) return line.substr(0, cut).append(kDots);
    at += cluster.bytes;
    if (columns + kDots.size() <= room) cut = at;
  }
  return line;
}

std::string padded(std::string text, std::size_t columns) {
  const std::size_t taken = columns_of(text);
  return text.append(taken < columns ? columns - taken : 0, ' ');
}

}  // namespace choir::app
