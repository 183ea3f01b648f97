// From token pieces to text that may be shown: whole UTF-8 characters, and nothing of a stop
// string.
//
// Pure: everything it holds back between two tokens is in the TextCarry, which is part of the
// sequence's value and so survives parking and migration.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/sequence.h"

namespace choir {

enum class TextEnd : unsigned char { kOpen, kStopString };

// Adds a piece. Appends to `out` what is certain now; the rest stays in the carry. kStopString when
// a stop string is complete: `out` then has the text before it, and the carry is empty.
// Bytes that can never become UTF-8 are replaced by U+FFFD, one for each maximal invalid part.
TextEnd append_piece(TextCarry& carry, std::string_view piece, std::span<const std::string> stop,
                     std::string& out);

// The generation ended without a stop string: what was held back is text after all; an unfinished
// character is dropped.
void finish_text(TextCarry& carry, std::string& out);

}  // namespace choir
