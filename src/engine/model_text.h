// What the engine's vocabulary and chat template give as text, beyond the Engine seam.
//
// Any thread. A model that is not of this engine has no marks, and the pieces of its tokens.
#pragma once

#include <string>
#include <vector>

#include "choir/model_text.h"
#include "engine/engine.h"

namespace choir {

std::string token_text(const Model& model, TokenId token);
TextMarks text_marks(const Model& model);

// Rendered by the template of the model, which has one, with its tools or without the beginning of
// an answer. No analysis of the template and no grammar is made.
Result<std::string> render_with_tools(const Model& model, const ChatPrompt& prompt);

}  // namespace choir
