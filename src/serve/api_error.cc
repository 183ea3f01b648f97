#include "serve/api_error.h"

#include <utility>

namespace choir::serve {
namespace {

struct Row {
  int status;
  std::string_view type;
  std::string_view code;
};

Row row_of(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return {400, "invalid_request_error", ""};
    case Code::kNotFound:
      return {404, "not_found_error", "not_found"};
    case Code::kAlreadyExists:
      return {409, "conflict_error", "already_exists"};
    case Code::kOverloaded:
      return {429, "rate_limit_error", "queue_full"};
    case Code::kOutOfMemory:
      return {503, "unavailable_error", "out_of_memory"};
    case Code::kCancelled:
      return {503, "unavailable_error", "cancelled"};
    case Code::kDeadlineExceeded:
      return {504, "timeout_error", "deadline_exceeded"};
    case Code::kUnavailable:
      return {503, "unavailable_error", "unavailable"};
    case Code::kEngineFailed:
      return {500, "server_error", "engine_failed"};
    case Code::kTooLong:
      return {400, "exceed_context_size_error", "context_length_exceeded"};
    case Code::kDraining:
      return {503, "unavailable_error", "draining"};
  }
  return {500, "server_error", ""};
}

}  // namespace

std::vector<Header> retry_after(std::chrono::seconds wait) {
  const std::string seconds = std::to_string(wait.count());
  return {{"retry-after", seconds}, {"retry-after-ms", seconds + "000"}};
}

namespace {

// SDKs try 408, 409, 429 and 5xx again by themselves, and obey these.
std::vector<Header> advice_of(Code code) {
  switch (code) {
    case Code::kOverloaded:
    case Code::kDraining:
      return retry_after(std::chrono::seconds(1));
    case Code::kAlreadyExists:
    case Code::kCancelled:  // else it would begin again by itself
    case Code::kOutOfMemory:
    case Code::kDeadlineExceeded:
    case Code::kEngineFailed:
      return {{"x-should-retry", "false"}};
    default:
      return {};
  }
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

std::string_view type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

std::string_view code_of(int status) {
  return status == 401 ? "invalid_api_key" : status == 429 ? "rate_limit_exceeded" : "";
}

}  // namespace

// Where models lie on this machine is nobody's business. A name in quotes that begins with '/' is
// the path of a file.
std::string without_folders(std::string message) {
  for (std::size_t at = 0; (at = message.find("'/", at)) != std::string::npos; ++at) {
    const std::size_t end = message.find('\'', at + 1);
    if (end == std::string::npos) break;
    const std::size_t name = message.rfind('/', end) + 1;
    if (name < end) message.erase(at + 1, name - at - 1);
  }
  return message;
}

ApiError api_error(const Error& error) {
  const Row row = row_of(error.code);
  return {.status = row.status,
          .type = std::string(row.type),
          .code = std::string(row.code),
          .message = without_folders(error.message),
          .param = {},
          .pointer = {},
          .facts = error.facts,
          .headers = advice_of(error.code)};
}

ApiError api_error(const Refusal& why) {
  return {.status = why.status,
          .type = std::string(type_of(why.status)),
          .code = std::string(why.code.empty() ? code_of(why.status) : why.code),
          .message = why.message,
          .param = {},
          .pointer = {},
          .facts = {},
          .headers = why.headers};
}

ApiError state_error(const Error& error) {
  ApiError refused = api_error(error);
  if (error.code != Code::kOverloaded) return refused;
  refused.status = 409;
  refused.type = "conflict_error";
  refused.code = "model_busy";
  refused.headers = {{"x-should-retry", "false"}};
  return refused;
}

ApiError model_error(const Error& error) {
  ApiError wrong = api_error(error);
  wrong.param = "model";
  if (error.code == Code::kNotFound) wrong.code = "model_not_found";
  return wrong;
}

ApiError model_error_at(const Error& error, std::string pointer) {
  ApiError wrong = model_error(error);
  wrong.pointer = std::move(pointer);
  return wrong;
}

ApiError field_error(std::string_view field, std::string message) {
  std::string pointer = "/";
  for (const char c : field) pointer += c == '.' ? "/" : std::string(1, c);
  return {.status = 400,
          .type = "invalid_request_error",
          .code = "invalid_value",
          .message = "'" + std::string(field) + "' " + std::move(message),
          .param = std::string(field),
          .pointer = field.empty() ? "" : std::move(pointer)};
}

Json openai_error(const ApiError& error) {
  Json inside = {{"message", error.message},
                 {"type", error.type},
                 {"param", text_or_null(error.param)},
                 {"code", text_or_null(error.code)}};
  if (!error.pointer.empty()) inside["pointer"] = error.pointer;
  add_facts(inside, error);
  return {{"error", std::move(inside)}};
}

void add_facts(Json& inside, const ApiError& error) {
  for (const Fact& fact : error.facts) inside[fact.name] = fact.value;
  inside.update(error.more);
}

std::unique_ptr<Work> reply_with_error(const ApiError& error, Json (*body)(const ApiError&)) {
  ReplyHead head{.status = error.status, .headers = error.headers};
  head.headers.push_back({"content-type", "application/json"});
  return reply_with(std::move(head), to_text(body(error)));
}

}  // namespace choir::serve
