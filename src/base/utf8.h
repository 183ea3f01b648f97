// UTF-8: the one decoder, and what is made of it.
//
// Pure; any thread. Source: Unicode 15, table 3-7 (well-formed UTF-8 byte sequences): overlong
// forms, surrogates and code points above U+10FFFF are no characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace choir {

// What a text begins with.
struct Utf8Front {
  enum class Kind : std::uint8_t {
    kCharacter,
    kUnfinished,  // the text ends inside a character
    kInvalid,     // no continuation of these bytes is a character
  };
  Kind kind = Kind::kInvalid;
  std::size_t bytes = 1;  // of the character, of its beginning, or of the maximal invalid part
  char32_t character = 0;
  bool operator==(const Utf8Front&) const = default;
};

// `text` is not empty.
Utf8Front utf8_front(std::string_view text);

// Whether a character of UTF-8 text goes on with this byte, and does not begin with it.
inline bool continues_utf8(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

// Where the first part begins that is no character, an unfinished one at the end included. nullopt
// when all is UTF-8.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

// The bytes of a character; at most U+10FFFF and no surrogate.
std::string utf8_of(char32_t character);

}  // namespace choir
