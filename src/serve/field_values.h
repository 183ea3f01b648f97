// How the values of fields that are no plain numbers become parts of what was asked for.
//
// Pure: any thread, does not block. Each returns the first error.
#pragma once

#include <chrono>
#include <optional>

#include "serve/api_error.h"
#include "serve/asked.h"
#include "serve/json_in.h"

namespace choir::serve {

std::optional<ApiError> set_messages(Asked& asked, const Json& value);
std::optional<ApiError> set_prompt(Asked& asked, const Json& value);
// A text may also be {"prompt_string": text} here, also in a list.
std::optional<ApiError> set_llama_prompt(Asked& asked, const Json& value);
std::optional<ApiError> set_response_fields(Asked& asked, const Json& value);
std::optional<ApiError> set_input(Asked& asked, const Json& value);
std::optional<ApiError> set_best_of(Asked& asked, const Json& value);
std::optional<ApiError> set_stop(Asked& asked, const Json& value);
std::optional<ApiError> set_logit_bias(Asked& asked, const Json& value);
std::optional<ApiError> set_stream_options(Asked& asked, const Json& value);
std::optional<ApiError> set_priority(Asked& asked, const Json& value);
std::optional<ApiError> set_service_tier(Asked& asked, const Json& value);
std::optional<ApiError> set_keep_alive(Asked& asked, const Json& value);
// As Ollama has it: seconds, or a text of numbers with units ("1h30m"); below 0 is for ever.
// nullopt for anything else.
std::optional<std::chrono::milliseconds> keep_alive_of(const Json& value);
std::optional<ApiError> set_encoding_format(Asked& asked, const Json& value);

// Of a chat that model_defaults has filled in: one message at least has text.
std::optional<ApiError> check_content(const Asked& asked);

// What is wrong between fields that are right one by one.
std::optional<ApiError> check_together(const Asked& asked);

// The names of Choir's samplers in llama.cpp, in the order in which they are applied.
Json own_samplers();

}  // namespace choir::serve
