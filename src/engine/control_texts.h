// Control tokens in the text of a message: there `<|im_end|>` is text, and must not end it.
//
// A tokenizer that parses control tokens is given such a text in two parts, cut inside the token's
// text, so that neither part has it. Texts without one are not touched, and no token changes.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "choir/request.h"
#include "engine/engine.h"

namespace choir {

class ControlTexts {
 public:
  ControlTexts() = default;
  // Of a vocabulary. Empty ones are left out, and those of one character, which cannot be cut.
  explicit ControlTexts(std::span<const std::string> texts);

  // Where to cut `text`: behind the first character of each of them in it, also of those that
  // overlap. Ascending byte offsets.
  std::vector<std::size_t> cuts(std::string_view text) const;

 private:
  bool is_one(std::string_view text, std::size_t at) const;

  std::set<std::string, std::less<>> texts_;
  std::set<std::size_t> lengths_;
  std::array<bool, 256> begins_{};  // by first byte
};

// Where control tokens are written in messages that go through a template: a character that stands
// nowhere else is put at each cut, and is looked for in what the template made of the messages.
// nullopt: all characters for private use are taken.
std::optional<std::string> free_mark(std::span<const Message> messages, std::string_view source);
std::string with_marks(std::string_view text, std::span<const std::size_t> cuts,
                       std::string_view mark);
Rendered without_marks(std::string_view text, std::string_view mark);

// Tokens of `prompt.text` from the byte `from` on; `special` is for its front. Nothing spans a cut.
Result<std::vector<TokenId>> tokens_of(const Model& model, const Rendered& prompt, std::size_t from,
                                       Model::Special special);

}  // namespace choir
