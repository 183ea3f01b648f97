// How much of a text a pre-tokenizer may take as one word.
//
// The engine cuts text into words by regular expressions, many of them through std::regex, which
// recurses once or more for each character of a match: one long word overflows any stack.
#pragma once

#include <cstddef>
#include <string_view>

namespace choir {

// Bytes of the longest stretch that no expression of the engine can match beyond: of text without
// ASCII white space, of white space, or of words with blanks between them (some expressions take
// a whole row of words). Bytes that are not ASCII may belong to any. Pure; O(text).
std::size_t longest_run(std::string_view text);

}  // namespace choir
