#include "choir/text.h"

#include <algorithm>
#include <vector>

namespace choir {
namespace {

constexpr std::size_t kLettersMax = 64;  // longer words are not compared: the table stays small
constexpr std::size_t kPrefixLettersMin = 3;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// Optimal string alignment; three rows of the usual table are all it looks at.
std::size_t edits(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

}  // namespace

std::optional<std::string> nearest(std::string_view word, std::span<const std::string> known) {
  if (word.empty() || word.size() > kLettersMax) return std::nullopt;
  const std::string wanted = lower(word);
  std::size_t best = std::max<std::size_t>(1, wanted.size() / 3) + 1;
  std::optional<std::string> answer;
  for (const std::string& candidate : known) {
    if (candidate.size() > kLettersMax) continue;
    const std::string near = lower(candidate);
    const bool begins = wanted.size() >= kPrefixLettersMin && near.starts_with(wanted);
    const std::size_t distance = std::min(edits(wanted, near), begins ? std::size_t{1} : best);
    if (distance >= best) continue;
    best = distance;
    answer = candidate;
  }
  return answer;
}

}  // namespace choir
