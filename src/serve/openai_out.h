// OpenAI's dialect: answers of /v1/chat/completions and /v1/completions, and embeddings.
//
// Pure: any thread, does not block.
#pragma once

#include <string>

#include "choir/embedding.h"
#include "serve/dialect.h"
#include "serve/json_in.h"

namespace choir::serve {

const Dialect& openai_chat();
const Dialect& openai_completions();

Json whole_embeddings(const std::string& model, const EmbedCompletion& completion, bool base64);

}  // namespace choir::serve
