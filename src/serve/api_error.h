// An error as a client of the HTTP API sees it. Plain values; any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "choir/result.h"
#include "serve/http.h"
#include "serve/json_in.h"

namespace choir::serve {

struct ApiError {
  int status = 500;
  std::string type;     // "invalid_request_error"
  std::string code;     // "model_not_found"; may be empty
  std::string message;  // one sentence
  std::string param;    // the field that is wrong; may be empty
  std::string pointer;  // its place in the body, as a JSON pointer; may be empty
  std::vector<Fact> facts = {};
  std::vector<Header> headers = {};
  Json more = Json::object();  // members of the error beside the facts
  bool operator==(const ApiError&) const = default;
};

// A message as clients see it: of a file that it names ('/models/a.gguf') the name alone
// ('a.gguf').
std::string without_folders(std::string message);

// What an error is over HTTP.
using ErrorForm = ApiError (*)(const Error&);

// The one table of what each reason of the core is over HTTP; the message is without_folders().
ApiError api_error(const Error& error);
// Of an error that ends by itself after about that time.
std::vector<Header> retry_after(std::chrono::seconds wait);

// A refusal, or the end of an answer, whose reason is the daemon's and not the core's.
ApiError api_error(const Refusal& why);

// The same for a change of a model: what is refused because the model has requests, or is just
// changing, is 409 and not worth trying again by itself.
ApiError state_error(const Error& error);

// The same as api_error() for the model that a request names; `pointer`: where its body does.
ApiError model_error(const Error& error);
ApiError model_error_at(const Error& error, std::string pointer = "/model");

// A field that is wrong: 400.
ApiError field_error(std::string_view field, std::string message);

// Adds the facts and what else the error has to the object that says it in a dialect.
void add_facts(Json& inside, const ApiError& error);

// {"error": {...}} in the form of OpenAI, with the facts beside it as llama.cpp has them.
Json openai_error(const ApiError& error);
// With a body of that form.
std::unique_ptr<Work> reply_with_error(const ApiError& error,
                                       Json (*body)(const ApiError&) = openai_error);

template <class T>
using ApiResult = tl::expected<T, ApiError>;

// The result of the core with its error over HTTP.
template <class T>
ApiResult<T> in_api(Result<T> result) {
  if (!result) return tl::unexpected(api_error(result.error()));
  return std::move(*result);
}

}  // namespace choir::serve
