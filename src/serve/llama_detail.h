// What llama.cpp's answers show of a request beyond its fields.
//
// On a door thread: it tokenizes the prompt once more.
#pragma once

#include <string>
#include <vector>

#include "choir/node.h"
#include "choir/request.h"

namespace choir::serve {

// Makes copies of requests to generate say what is computed: the text of a prompt has the marks
// that the vocabulary puts around it, and what `ignore_eos` bans is among the biases. Nothing
// changes where the executor is not in memory, or a prompt has no text.
void show_what_is_computed(const Node& node, const std::string& executor,
                           std::vector<Request>& requests);

}  // namespace choir::serve
