// What a client has asked for, as a value that no dialect shows any more.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/embedding.h"
#include "choir/request.h"

namespace choir::serve {

// One of the prompts of a request; one of the two is set.
struct Prompt {
  std::string text = {};
  std::vector<TokenId> tokens = {};
  bool operator==(const Prompt&) const = default;
};

inline constexpr std::int32_t kChoicesMax = 16;  // of one prompt
inline constexpr std::size_t kAnswersMax = 128;  // of one request: prompts times choices

struct Asked {
  std::string model;                 // empty: the client named none
  Request request;                   // without executor, text and tokens
  std::vector<Prompt> prompts = {};  // a chat has request.messages instead
  std::int32_t choices = 1;          // of each prompt
  std::optional<std::int64_t> best_of = {};
  EmbedRequest embed;  // without executor

  bool alone = false;  // `prompt` or `input` is one, and no list of them

  std::string_view class_field = "priority";  // that says the class of the request

  bool stream = false;
  bool include_usage = false;
  bool max_tokens_given = false;
  // Where the client named none; the context may have less room.
  std::int32_t max_tokens_otherwise = std::numeric_limits<std::int32_t>::max();
  bool seed_given = false;
  bool return_tokens = false;
  std::vector<std::string> response_fields = {};  // of the answer; none: all of them
  bool base64 = false;                            // vectors as text
  std::int32_t dimensions = 0;                    // that the vectors must have; 0: not asked for
  std::optional<std::chrono::milliseconds> keep_alive = {};  // of the model after this request
  bool strict_fields = false;                                // an unknown field is an error
  std::string cache_salt;                                    // narrows reuse
  std::string prompt_cache_key;                              // the same under OpenAI's name
  std::vector<std::string> ignored = {};     // fields that are in no class: "foo", "messages.0.foo"
  std::vector<std::string_view> given = {};  // fields that act, as Field::name
};

}  // namespace choir::serve
