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

// `work` returns a Status or a Result.
template <class F>
auto caught(F&& work) -> std::invoke_result_t<F> {
  try {
    return std::forward<F>(work)();
  } catch (...) {
    return tl::unexpected(error_of_exception());
  }
}

}  // namespace choir
