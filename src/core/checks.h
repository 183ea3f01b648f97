// What validate() of requests and of configs say of a value, in the same words. Pure.
#pragma once

#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "choir/result.h"

namespace choir {

// The shortest text that reads back as the same number; "nan" and "inf" as they are.
template <class Number>
std::string to_text(Number value) {
  std::array<char, 32> text{};  // a float needs at most 15, a 64-bit integer 20
  const auto end = std::to_chars(text.begin(), text.end(), value).ptr;
  return {text.begin(), end};
}

inline tl::unexpected<Error> bad(std::string message, std::vector<Fact> facts = {}) {
  return fail(Code::kInvalidArgument, std::move(message), std::move(facts));
}

// Of whole numbers; a fraction is in the message only.
template <class Number>
std::vector<Fact> value_and_limit(Number value, std::type_identity_t<Number> limit) {
  if constexpr (std::is_integral_v<Number>)
    return {Fact::of("value", value), Fact::of("limit", limit)};
  else
    return {};
}

// "sequences_max is 300, allowed 1 .. 256". NaN is in no range.
template <class Number>
Status in_range(std::string_view field, Number value, std::type_identity_t<Number> least,
                std::type_identity_t<Number> most) {
  if (value >= least && value <= most) return {};
  return bad(std::string(field) + " is " + to_text(value) + ", allowed " + to_text(least) + " .. " +
                 to_text(most),
             value_and_limit(value, value < least ? least : most));
}

// A name of at most kNameBytesMax bytes of UTF-8; it may be empty.
Status check_name(std::string_view field, std::string_view name);

}  // namespace choir
