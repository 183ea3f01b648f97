#include "serve/ignored_header.h"

#include <algorithm>
#include <string_view>

namespace choir::serve {
namespace {

constexpr std::size_t kBytesMax = 512;  // of all names; a few habits of a client fit

// Visible ASCII: a client chooses the names of fields, and must not write headers with them.
bool is_header_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

std::optional<Header> ignored_header(std::span<const std::string> names) {
  std::string all;
  for (const std::string& name : names)
    if (all.size() + name.size() < kBytesMax && is_header_text(name))
      all += (all.empty() ? "" : ", ") + name;
  if (all.empty()) return std::nullopt;
  return Header{"x-choir-ignored", all};
}

}  // namespace choir::serve
