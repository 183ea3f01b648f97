// Small words for people: text of unknown origin on one line, byte counts, "did you mean". All
// pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "choir/export.h"

namespace choir {

// A prompt, what a model wrote, or a name from a file, on one line of a terminal: at most
// characters_max characters (at least 4); what is longer ends in "...". Never cuts a UTF-8
// character. Control characters, and those that change the direction of writing, come out escaped
// ("\n", "\x1b", "\u202e"), bytes that are not UTF-8 as "\xff": a line stays one line and no text
// can move the cursor. An escape counts as the characters it prints.
CHOIR_API std::string printable_line(std::string_view text, std::size_t characters_max);

// Byte counts as a person reads them: "98 MB", "1.4 GB", "1 byte". Powers of 1000, as disks are
// sold and files listed; of memory too, so that a model's weights are one number wherever it is
// told.
CHOIR_API std::string bytes_text(std::uint64_t bytes);

// The nearest of `known`, letters' case ignored; nothing when none is near enough to be meant.
// Near: at most one edit (insert, delete, replace, swap of neighbours) per three letters of `word`,
// or `word` is the beginning of it (three letters or more). Of equals the first wins.
CHOIR_API std::optional<std::string> nearest(std::string_view word,
                                             std::span<const std::string> known);

}  // namespace choir
