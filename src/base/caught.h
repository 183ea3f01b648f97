// Where code that must not throw calls code that may (a library, a hook): what is thrown becomes
// the error of the call. At every entry of the public API and of a thread.
#pragma once

#include <type_traits>
#include <utility>

#include "choir/result.h"

namespace choir {

// Of the exception that is being handled; only inside a catch. kOutOfMemory (bad_alloc),
// kUnavailable (system_error, filesystem_error), kEngineFailed (all others).
Error error_of_exception();

// What `work` returns: a Status, a Result, or nothing, which is a Status without an error.
template <class F>
auto caught(F&& work) {
  using Given = std::invoke_result_t<F>;
  using Outcome = std::conditional_t<std::is_void_v<Given>, Status, Given>;
  try {
    if constexpr (!std::is_void_v<Given>) {
      return Outcome(std::forward<F>(work)());
    } else {
      std::forward<F>(work)();
      return Outcome();
    }
  } catch (...) {
    return Outcome(tl::unexpected(error_of_exception()));
  }
}

}  // namespace choir
