// Errors as values: Error (what went wrong) and Result<T> (a T or an Error). Plain values: any
// thread may copy, compare and keep them.
//
// Source: std::expected. g++ 12 has it only under -std=c++23 and clang-tidy 14 in no mode, so
// Result<T> is tl::expected (Debian: libexpected-dev); this header is the only one that says so.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace choir {

// The closed list of reasons. An interface (exit code, HTTP status) maps each one once.
enum class Code : std::uint8_t {
  kInvalidArgument,   // the call is wrong and will fail again
  kNotFound,          // no such file, model, executor or request
  kAlreadyExists,     // the name is taken
  kOverloaded,        // try later; the message says which limit was hit
  kOutOfMemory,       // no room for weights or KV cells; the message has need and free bytes
  kCancelled,         // a cancel, a removal or a shutdown ended it
  kDeadlineExceeded,  // the request's own deadline
  kUnavailable,       // the network, a disk, a helper program or a thread is not available
  kEngineFailed,      // llama.cpp refused a file or a batch
  kTooLong,           // more tokens than the context takes; facts n_prompt_tokens, n_ctx
  kDraining,          // close_door() was called: the node takes no new work
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
    case Code::kTooLong:
      return "too_long";
    case Code::kDraining:
      return "draining";
  }
  return "unknown";
}

// A number of an error, for programs, so that they need not parse the message. The names in use:
//   value, limit                what was given and the nearest that is allowed (kInvalidArgument)
//   n_prompt_tokens, n_ctx      tokens of the prompt; tokens of prompt and output together that the
//                               context takes (kTooLong). A prompt that has so many bytes that it
//                               was not tokenized has n_prompt_bytes instead.
//   need_bytes, free_bytes      bytes that are needed, and bytes that are free (kOutOfMemory)
//   waiting, queue_max          requests or texts that wait or run, and their limit (kOverloaded)
//   tenant_waiting, tenant_share
//                               of them the tenant's, and its share beside others (kOverloaded)
//   text_index, token_index     which of several texts to embed, which token of a prompt or a text
//   active_requests, active_embeddings, suspended_requests
//                               work that has not ended (kDeadlineExceeded of wait_idle())
struct Fact {
  std::string name;
  std::int64_t value = 0;
  bool operator==(const Fact&) const = default;

  // A value outside of the range of int64 becomes the nearest value inside.
  template <std::integral Number>
  static Fact of(std::string_view name, Number value) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    return {.name = std::string(name),
            .value = std::cmp_greater(value, kMost) ? kMost : static_cast<std::int64_t>(value)};
  }
};

struct [[nodiscard]] Error {
  Code code = Code::kInvalidArgument;
  std::string message;           // one sentence: the value seen, the limit, what to change
  std::vector<Fact> facts = {};  // each name at most once; most errors have no facts

  // The fact of that name; nullopt if the error does not have it.
  std::optional<std::int64_t> fact(std::string_view name) const {
    for (const Fact& fact : facts)
      if (fact.name == name) return fact.value;
    return std::nullopt;
  }

  // Puts the place of the error in front of the message: error.in("models[2]") -> "models[2]: ...".
  Error in(std::string_view where) && {
    message.insert(0, std::string(where) + ": ");
    return std::move(*this);
  }
  bool operator==(const Error&) const = default;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(Code code, std::string message, std::vector<Fact> facts = {}) {
  return tl::unexpected(Error{code, std::move(message), std::move(facts)});
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

// The same for a Status, which has no value.
#define CHOIR_CHECK_OK(expression)                            \
  do {                                                        \
    if (auto choir_status = (expression); !choir_status)      \
      return tl::unexpected(std::move(choir_status).error()); \
  } while (false)
