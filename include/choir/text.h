// Text for people: text of unknown origin on one line, byte counts, "did you mean ...?".
//
// All calls are pure: any thread may call, and none blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "choir/export.h"

namespace choir {

// `text` (a prompt, an answer, a name from a file) as one line of a terminal, at most
// characters_max characters (which must be at least 4). Longer text is cut and ends in "...". A
// UTF-8 character is never cut. Control characters, and characters that change the direction of
// writing, are escaped ("\n", "\x1b", "\u202e"); bytes that are not UTF-8 become "\xff". So the
// result stays one line, and no text can move the cursor. An escape counts as the characters that
// it prints.
CHOIR_API std::string printable_line(std::string_view text, std::size_t characters_max);

// A byte count as a person reads it: "98 MB", "1.4 GB", "1 byte". In powers of 1000, as for disks
// and files; also for memory, so that the size of a model is the same number everywhere.
CHOIR_API std::string bytes_text(std::uint64_t bytes);

// The word of `known` that is nearest to `word`, ignoring case; nullopt if none is near. A known
// word is near if it differs by at most one edit (insert, delete, replace, swap of neighbours) for
// every three letters of `word`, or if it begins with `word` (three letters or more). Among equally
// near words the first one is returned.
CHOIR_API std::optional<std::string> nearest(std::string_view word,
                                             std::span<const std::string> known);

}  // namespace choir
