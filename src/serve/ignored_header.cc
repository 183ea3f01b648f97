#include "serve/ignored_header.h"

#include <string_view>

namespace choir::serve {
namespace {

constexpr std::size_t kBytesMax = 512;  // of all names; a few habits of a client fit
constexpr std::size_t kNameBytesMax = 64;

// A client chooses the names of fields, and must not write headers with them: all but visible ASCII
// is shown as in a URL, and so are the marks of the list and of the escapes.
std::string escaped(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c > 0x20 && c < 0x7f && c != ',' && c != '%')
      text += c;
    else
      text.append({'%', kDigits[byte >> 4U], kDigits[byte & 15U]});
  }
  return text;
}

}  // namespace

std::optional<Header> ignored_header(std::span<const std::string> names) {
  std::string all;
  bool more = false;
  for (const std::string& name : names) {
    if (name.empty()) continue;
    std::string text = escaped(std::string_view(name).substr(0, kNameBytesMax));
    if (name.size() > kNameBytesMax) text += "...";
    if (all.size() + text.size() < kBytesMax)
      all += (all.empty() ? "" : ", ") + text;
    else
      more = true;
  }
  if (all.empty()) return std::nullopt;
  if (more) all += ", ...";
  return Header{"x-choir-ignored", all};
}

}  // namespace choir::serve
