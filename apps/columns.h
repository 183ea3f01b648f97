// How wide text is on a terminal: most characters take one column, Chinese ones and emoji two,
// combining marks none.
//
// Pure; any thread. Widths and the borders of what a reader takes for one character are those of
// Unicode, from libutf8proc.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace choir::app {

// Of text without control characters. A byte that is not UTF-8 counts as one column.
std::size_t columns_of(std::string_view text);

// As printable_line() of choir/text.h, for a limit of columns instead of characters; columns_max is
// at least 4.
std::string line_of_columns(std::string_view text, std::size_t columns_max);

// With spaces behind it up to this many columns.
std::string padded(std::string text, std::size_t columns);

}  // namespace choir::app
