// choir/model_text.h for an executor of a node.
#include "choir/model_text.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/caught.h"
#include "engine/model_text.h"
#include "runtime/prompts.h"
#include "runtime/runtime.h"

namespace choir {
namespace {

Result<std::shared_ptr<const Model>> model_of(const Node& node, std::string_view name) {
  if (const auto executor = node.runtime()->loaded(name)) return executor->shared_model();
  CHOIR_CHECK_OK(node.runtime()->executor(name));  // or kNotFound
  return fail(Code::kUnavailable, "'" + std::string(name) + "' is not in memory");
}

// The marks are put around the text by hand: the engine parses control tokens wherever it does so
// itself.
Result<std::vector<TokenId>> plain_with_marks(const Model& model, std::string_view text) {
  const auto bare = CHOIR_TRY(model.tokenize("a", Model::Special::kContinue));
  const auto marked = CHOIR_TRY(model.tokenize("a", Model::Special::kParse));
  const auto inside = std::search(marked.begin(), marked.end(), bare.begin(), bare.end());
  if (inside == marked.end()) return fail(Code::kEngineFailed, "marks cannot be told from text");
  auto tokens = CHOIR_TRY(model.tokenize(text, Model::Special::kPlain));
  tokens.insert(tokens.begin(), marked.begin(), inside);
  tokens.insert(tokens.end(), inside + std::ssize(bare), marked.end());
  return tokens;
}

}  // namespace

Result<std::string> chat_prompt(const Node& node, std::string_view executor,
                                const ChatPrompt& prompt) {
  return caught([&]() -> Result<std::string> {
    const auto model = CHOIR_TRY(model_of(node, executor));
    Request request;
    request.messages = prompt.messages;
    request.default_template = true;
    CHOIR_CHECK_OK(validate(request));
    if (prompt.tools_json.empty() && prompt.open_answer)
      return CHOIR_TRY(rendered_prompt(*model, request)).text;
    if (!model->info().chat_template.empty()) return render_with_tools(*model, prompt);
    if (!prompt.tools_json.empty())
      return fail(Code::kInvalidArgument,
                  "'" + std::string(executor) + "' has no chat template, which could show tools");
    std::string text = CHOIR_TRY(rendered_prompt(*model, request)).text;
    text.resize(text.size() - kChatMlAnswer.size());
    return text;
  });
}

Result<std::vector<TokenId>> tokenize(const Node& node, std::string_view executor,
                                      std::string_view text, const Tokenizing& how) {
  return caught([&]() -> Result<std::vector<TokenId>> {
    const auto model = CHOIR_TRY(model_of(node, executor));
    if (how.add_special && !how.parse_special) return plain_with_marks(*model, text);
    return model->tokenize(text, how.add_special     ? Model::Special::kParse
                                 : how.parse_special ? Model::Special::kContinue
                                                     : Model::Special::kPlain);
  });
}

Result<std::vector<std::string>> token_texts(const Node& node, std::string_view executor,
                                             const std::vector<TokenId>& tokens) {
  return caught([&]() -> Result<std::vector<std::string>> {
    const auto model = CHOIR_TRY(model_of(node, executor));
    std::vector<std::string> texts;
    texts.reserve(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] < 0 || tokens[i] >= model->info().vocab_tokens)
        return fail(Code::kInvalidArgument,
                    "token " + std::to_string(tokens[i]) + " is not in the vocabulary of '" +
                        std::string(executor) + "'",
                    {Fact::of("token_index", i)});
      texts.push_back(token_text(*model, tokens[i]));
    }
    return texts;
  });
}

Result<TextMarks> text_marks(const Node& node, std::string_view executor) {
  return caught(
      [&]() -> Result<TextMarks> { return text_marks(*CHOIR_TRY(model_of(node, executor))); });
}

Result<std::vector<TokenId>> end_tokens(const Node& node, std::string_view executor) {
  return caught([&]() -> Result<std::vector<TokenId>> {
    const auto model = CHOIR_TRY(model_of(node, executor));
    return std::vector<TokenId>(model->end_tokens().begin(), model->end_tokens().end());
  });
}

}  // namespace choir
