// The picture of `choir top`: a grid of characters, made of what is known and of nothing else.
//
// Pure; any thread. Text of models, names and the daemon is on one line and printable.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "top/view.h"

namespace choir::app::top {

struct Size {
  int columns = 80;
  int rows = 24;
};

// Of a piece of text. Colours 1 to kColours are of models.
enum class Look : std::uint8_t { kPlain, kBold, kDim, kMarked, kTitle, kAlarm };
inline constexpr int kColours = 6;
struct Piece {
  std::string text;  // without control characters
  Look look = Look::kPlain;
  int colour = 0;  // 0: none
};

// Rows of pieces, none wider than the size has columns; at most as many as it has rows.
struct Grid {
  std::vector<std::vector<Piece>> rows;
};

Grid draw_top(const View& view, Size size);
// Without looks and colours; no spaces at the ends of lines.
std::string text_of(const Grid& grid);

// One line that says how it is, without a line break.
std::string plain_line(const View& view);
// The same for programs: one line of JSON.
std::string json_line(const View& view);

}  // namespace choir::app::top
