#include "base/split_name.h"

#include <array>
#include <charconv>
#include <cstdio>

namespace choir {
namespace {

constexpr std::string_view kBetween = "-of-";
constexpr std::string_view kEnd = ".gguf";
constexpr std::size_t kDigits = 5;

// Five digits; -1 for anything else.
int number_in(std::string_view digits) {
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc{} && end == digits.data() + digits.size() ? value : -1;
}

}  // namespace

std::optional<SplitName> split_name(std::string_view path) {
  constexpr std::size_t kTail = 1 + kDigits + kBetween.size() + kDigits + kEnd.size();
  if (path.size() <= kTail) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kTail);
  if (tail.front() != '-' || !tail.ends_with(kEnd) ||
      tail.substr(1 + kDigits, kBetween.size()) != kBetween)
    return std::nullopt;
  SplitName name;
  name.prefix = path.substr(0, path.size() - kTail);
  name.part = number_in(tail.substr(1, kDigits));
  name.parts = number_in(tail.substr(1 + kDigits + kBetween.size(), kDigits));
  if (name.part < 1 || name.parts < 2 || name.part > name.parts) return std::nullopt;
  return name;
}

std::string part_path(const SplitName& name, int part) {
  std::array<char, 40> tail{};
  std::snprintf(tail.data(), tail.size(), "-%05d-of-%05d.gguf", part, name.parts);
  return name.prefix + tail.data();
}

std::vector<std::string> model_parts(const std::string& path) {
  const auto name = split_name(path);
  if (!name || name->part != 1) return {path};
  std::vector<std::string> paths;
  paths.reserve(static_cast<std::size_t>(name->parts));
  for (int part = 1; part <= name->parts; ++part) paths.push_back(part_path(*name, part));
  return paths;
}

}  // namespace choir
