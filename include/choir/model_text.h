// How an executor's model reads and writes text: its chat template and its vocabulary.
//
// Any thread may call. Nothing here loads a model or waits for one: kUnavailable when the executor
// is not in memory, kNotFound when there is none of that name. The calls take up to milliseconds
// for a long text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "choir/export.h"
#include "choir/ids.h"
#include "choir/node.h"
#include "choir/request.h"
#include "choir/result.h"

namespace choir {

// What a chat template is asked to render.
struct ChatPrompt {
  std::vector<Message> messages = {};
  // A list of functions as OpenAI's API has it, as JSON; empty: none. The template shows them to
  // the model; nothing here reads the calls that the model writes.
  std::string tools_json = {};
  bool open_answer = true;  // end the prompt with the beginning of the assistant's turn
};

// The prompt as text. With messages alone it is the text that a request with these messages
// computes; a model without a template gets ChatML, as with Request::default_template.
// kInvalidArgument: the template refuses the messages, `tools_json` is wrong, or there are tools
// and no template.
CHOIR_API Result<std::string> chat_prompt(const Node& node, std::string_view executor,
                                          const ChatPrompt& prompt);

struct Tokenizing {
  bool add_special = true;    // the marks that the vocabulary puts around a text
  bool parse_special = true;  // control tokens that the text has are control tokens, else text
};
CHOIR_API Result<std::vector<TokenId>> tokenize(const Node& node, std::string_view executor,
                                                std::string_view text, const Tokenizing& how);

// The bytes of each token as they stand in a prompt, control tokens too ("<s>"). One token may be a
// part of a UTF-8 character. kInvalidArgument: the vocabulary does not have the token.
CHOIR_API Result<std::vector<std::string>> token_texts(const Node& node, std::string_view executor,
                                                       const std::vector<TokenId>& tokens);

// The marks at the beginning and the end of a text; empty: the vocabulary has none.
struct TextMarks {
  std::string begin;
  std::string end;
};
CHOIR_API Result<TextMarks> text_marks(const Node& node, std::string_view executor);

// The tokens with which the model ends its answers, ascending; Request::ignore_eos bans them.
CHOIR_API Result<std::vector<TokenId>> end_tokens(const Node& node, std::string_view executor);

}  // namespace choir
