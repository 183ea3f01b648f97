#include "serve/llama_detail.h"

#include <limits>

#include "choir/model_text.h"

namespace choir::serve {
namespace {

std::string as_computed(const Node& node, const std::string& executor, const std::string& text) {
  const auto tokens = tokenize(node, executor, text, {});
  if (!tokens) return text;
  const auto pieces = token_texts(node, executor, *tokens);
  if (!pieces) return text;
  std::string whole;
  for (const std::string& piece : *pieces) whole += piece;
  return whole;
}

}  // namespace

void show_what_is_computed(const Node& node, const std::string& executor,
                           std::vector<Request>& requests) {
  for (Request& request : requests) {
    if (!request.text.empty()) request.text = as_computed(node, executor, request.text);
    const auto ends = request.ignore_eos ? end_tokens(node, executor)
                                         : Result<std::vector<TokenId>>(std::vector<TokenId>{});
    if (!ends) continue;
    for (const TokenId end : *ends)
      request.sampling.bias.push_back({end, -std::numeric_limits<float>::infinity()});
  }
}

}  // namespace choir::serve
