// The reader of a text stream, which checks what it takes.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/node.h"

namespace choir {

// One request and what its reader has of it.
struct Reader {
  TextStream stream;
  std::future<Completion> future;
  std::string text;
  std::vector<TokenId> tokens;
  std::optional<Completion> end;
  int told = 0;  // since the last take
  int wakes = 0;

  StreamPiece take() {
    told = 0;
    StreamPiece piece = stream.take();
    EXPECT_EQ(first_invalid(piece.text), std::nullopt);
    EXPECT_FALSE(end && (piece.end || !piece.text.empty() || !piece.tokens.empty()))
        << "something came after the end";
    text += piece.text;
    tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
    if (piece.end) end = piece.end;
    return piece;
  }
  static std::optional<std::size_t> first_invalid(std::string_view text);
  bool has_future() {
    return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  void expect_whole(Finish finish) {
    ASSERT_TRUE(end);
    const Completion c = future.get();
    EXPECT_EQ(end->finish, finish);
    EXPECT_EQ(text, c.text);
    EXPECT_EQ(tokens, c.tokens);
    EXPECT_EQ(end->text, c.text);
    EXPECT_EQ(end->tokens, c.tokens);
    EXPECT_EQ(end->usage, c.usage);
  }
};

inline std::optional<std::size_t> Reader::first_invalid(std::string_view text) {
  // The fake's only longer character has two bytes.
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool lead = text[i] == '\xC3';
    const bool tail = text[i] == '\xA9';
    if (lead && (i + 1 == text.size() || text[i + 1] != '\xA9')) return i;
    if (tail && (i == 0 || text[i - 1] != '\xC3')) return i;
  }
  return std::nullopt;
}

}  // namespace choir
