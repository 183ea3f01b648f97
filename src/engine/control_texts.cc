#include "engine/control_texts.h"

#include <algorithm>

#include "base/utf8.h"

namespace choir {
namespace {

// The characters for private use of the first plane: three bytes each.
constexpr char32_t kPrivateFirst = 0xE000;
constexpr char32_t kPrivateCount = 6400;

// Bytes to the next beginning of a character.
std::size_t first_character(std::string_view text, std::size_t at) {
  std::size_t end = at + 1;
  while (end < text.size() && continues_utf8(text[end])) ++end;
  return end - at;
}

void take_out(std::string_view text, std::vector<bool>& taken) {
  while (!text.empty()) {
    const Utf8Front front = utf8_front(text);
    const char32_t index = front.character - kPrivateFirst;
    if (front.character >= kPrivateFirst && index < kPrivateCount) taken[index] = true;
    text.remove_prefix(front.bytes);
  }
}

}  // namespace

ControlTexts::ControlTexts(std::span<const std::string> texts) {
  for (const std::string& text : texts) {
    if (text.empty() || first_character(text, 0) == text.size()) continue;
    texts_.insert(text);
    lengths_.insert(text.size());
    begins_[static_cast<unsigned char>(text.front())] = true;
  }
}

bool ControlTexts::is_one(std::string_view text, std::size_t at) const {
  return std::ranges::any_of(lengths_, [&](std::size_t length) {
    return length <= text.size() - at && texts_.contains(text.substr(at, length));
  });
}

std::vector<std::size_t> ControlTexts::cuts(std::string_view text) const {
  std::vector<std::size_t> cuts;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (begins_[static_cast<unsigned char>(text[i])] && is_one(text, i))
      cuts.push_back(i + first_character(text, i));
  return cuts;
}

std::optional<std::string> free_mark(std::span<const Message> messages, std::string_view source) {
  std::vector<bool> taken(kPrivateCount);
  take_out(source, taken);
  for (const Message& message : messages) take_out(message.content, taken);
  const auto free = std::ranges::find(taken, false);
  if (free == taken.end()) return std::nullopt;
  return utf8_of(kPrivateFirst + static_cast<char32_t>(free - taken.begin()));
}

std::string with_marks(std::string_view text, std::span<const std::size_t> cuts,
                       std::string_view mark) {
  std::string marked;
  std::size_t begin = 0;
  for (const std::size_t cut : cuts) {
    marked.append(text.substr(begin, cut - begin)).append(mark);
    begin = cut;
  }
  return marked.append(text.substr(begin));
}

Rendered without_marks(std::string_view text, std::string_view mark) {
  Rendered prompt;
  for (std::size_t begin = 0;;) {
    const std::size_t at = text.find(mark, begin);
    prompt.text.append(text.substr(begin, at - begin));
    if (at == std::string_view::npos) return prompt;
    prompt.cuts.push_back(prompt.text.size());
    begin = at + mark.size();
  }
}

Result<std::vector<TokenId>> tokens_of(const Model& model, const Rendered& prompt, std::size_t from,
                                       Model::Special special) {
  const std::string_view text = prompt.text;
  auto cut = std::ranges::upper_bound(prompt.cuts, from);
  const auto part = [&] {
    const std::size_t end = cut == prompt.cuts.end() ? text.size() : *cut;
    return text.substr(from, end - from);
  };
  auto tokens = CHOIR_TRY(model.tokenize(part(), special));
  while (cut != prompt.cuts.end()) {
    from = *cut++;
    const auto more = CHOIR_TRY(model.tokenize(part(), Model::Special::kInside));
    tokens.insert(tokens.end(), more.begin(), more.end());
  }
  return tokens;
}

}  // namespace choir
