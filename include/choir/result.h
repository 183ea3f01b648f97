// Errors as values: Error (what went wrong, for whom) and Result<T> (a T or an Error).
//
// Source: std::expected. g++ 12 has it only under -std=c++23 and clang-tidy 14 in no mode, so
// Result<T> is tl::expected (Debian: libexpected-dev); this header is the only one that says so.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace choir {

// The closed list of reasons. An interface (exit code, HTTP status) maps each one once.
enum class Code : std::uint8_t {
  kInvalidArgument,   // the caller's fault, will fail again
  kNotFound,          // no such file, model, executor or request
  kAlreadyExists,     // the name is taken
  kOverloaded,        // try later; the message says which limit was hit
  kOutOfMemory,       // no room for weights or KV cells; the message has need and free bytes
  kCancelled,         // somebody asked for it
  kDeadlineExceeded,  // the request's own deadline
  kUnavailable,       // network, disk or helper program: the outside world said no
  kEngineFailed,      // llama.cpp refused a file or a batch
};

// "invalid_argument", "not_found", ...; never empty.
constexpr std::string_view to_string(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return "invalid_argument";
    case Code::kNotFound:
      return "not_found";
    case Code::kAlreadyExists:
      return "already_exists";
    case Code::kOverloaded:
      return "overloaded";
    case Code::kOutOfMemory:
      return "out_of_memory";
    case Code::kCancelled:
      return "cancelled";
    case Code::kDeadlineExceeded:
      return "deadline_exceeded";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kEngineFailed:
      return "engine_failed";
  }
  return "unknown";
}

struct [[nodiscard]] Error {
  Code code = Code::kInvalidArgument;
  std::string message;  // one sentence: the value seen, the limit, what to change

  // Puts the caller's noun in front: error.in("models[2]") -> "models[2]: ...".
  Error in(std::string_view where) && {
    message.insert(0, std::string(where) + ": ");
    return std::move(*this);
  }
  bool operator==(const Error&) const = default;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(Code code, std::string message) {
  return tl::unexpected(Error{code, std::move(message)});
}

}  // namespace choir

// Unwraps a Result or returns its Error from the enclosing function.
//   const auto model = CHOIR_TRY(registry.find(name));
#define CHOIR_TRY(expression)                                                  \
  __extension__({                                                              \
    auto choir_result = (expression);                                          \
    if (!choir_result) return tl::unexpected(std::move(choir_result).error()); \
    std::move(choir_result).value();                                           \
  })

// The same for a Status, whose value is nothing.
#define CHOIR_CHECK_OK(expression)                            \
  do {                                                        \
    if (auto choir_status = (expression); !choir_status)      \
      return tl::unexpected(std::move(choir_status).error()); \
  } while (false)
