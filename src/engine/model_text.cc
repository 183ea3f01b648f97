#include "engine/model_text.h"

#include <chat.h>
#include <json.h>
#include <llama.h>

#include <exception>

#include "engine/llama_model.h"

namespace choir {
namespace {

const llama_vocab* vocab_of(const Model& model) {
  const auto* ours = dynamic_cast<const LlamaModel*>(&model);
  return ours == nullptr ? nullptr : llama_model_get_vocab(ours->handle());
}

std::string mark(const Model& model, TokenId token) {
  return token == LLAMA_TOKEN_NULL ? std::string() : token_text(model, token);
}

}  // namespace

std::string token_text(const Model& model, TokenId token) {
  std::string text(model.piece(token));
  const llama_vocab* vocab = vocab_of(model);
  if (!text.empty() || vocab == nullptr) return text;
  text.resize(64);
  const auto into = [&] {
    return llama_token_to_piece(vocab, token, text.data(), static_cast<std::int32_t>(text.size()),
                                /*lstrip=*/0, /*special=*/true);
  };
  std::int32_t size = into();
  if (size < 0) {
    text.resize(static_cast<std::size_t>(-size));
    size = into();
  }
  text.resize(static_cast<std::size_t>(std::max(size, 0)));
  return text;
}

TextMarks text_marks(const Model& model) {
  const llama_vocab* vocab = vocab_of(model);
  if (vocab == nullptr) return {};
  return {.begin = mark(model, llama_vocab_bos(vocab)), .end = mark(model, llama_vocab_eos(vocab))};
}

Result<std::string> render_with_tools(const Model& model, const ChatPrompt& prompt) {
  const auto* ours = dynamic_cast<const LlamaModel*>(&model);
  if (ours == nullptr) return fail(Code::kUnavailable, "this engine renders no tools");
  try {
    const auto templates = common_chat_templates_init(ours->handle(), "");
    common_chat_templates_inputs inputs;
    inputs.use_jinja = true;
    inputs.force_pure_content = true;
    inputs.add_generation_prompt = prompt.open_answer;
    if (!prompt.tools_json.empty())
      inputs.tools = common_chat_tools_parse_oaicompat(common_json::parse(prompt.tools_json));
    for (const Message& message : prompt.messages) {
      common_chat_msg out;
      out.role = message.role;
      out.content = message.content;
      inputs.messages.push_back(std::move(out));
    }
    return common_chat_templates_apply(templates.get(), inputs).prompt;
  } catch (const std::exception& error) {
    return fail(Code::kInvalidArgument, "the model's chat template refuses this: " +
                                            std::string(error.what()).substr(0, 300));
  }
}

}  // namespace choir
