// What the routes of llama-server answer about a model and its requests, as JSON.
//
// Pure: any thread, does not block.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "choir/model_text.h"
#include "choir/node.h"
#include "serve/asked.h"
#include "serve/json_in.h"

namespace choir::serve {

// Tokens with the bytes of each: a text where they are UTF-8, else a list of numbers.
Json pieces_json(const std::vector<TokenId>& tokens, const std::vector<std::string>& texts);

// GET /props. `marks` are empty where the model is not in memory; `defaults` is what a request
// that says nothing asks for.
Json props_json(const ExecutorInfo& executor, const Asked& defaults, const TextMarks& marks,
                std::string_view build);

// GET /slots: as many as the executors of a model compute at once, one executor after the other. A
// slot shows counts of the request that it
// computes, and never text. Which slot a request has may change while it runs: the requests are in
// the order in which they came.
Json slots_json(const std::vector<ExecutorInfo>& executors,
                const std::vector<RequestInfo>& requests);

}  // namespace choir::serve
