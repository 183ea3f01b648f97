// A call on a stack of a known size, for code that recurses as deep as its input is long.
#pragma once

#include <cstddef>
#include <functional>

#include "choir/result.h"

namespace choir {

// Calls work() on a thread of its own with `bytes` of stack and returns when it has ended. Pages
// that it does not touch take no memory. `work` must not throw. kOutOfMemory, and `work` was not
// called: the system gives no such thread.
Status run_on_stack(std::size_t bytes, const std::function<void()>& work);

}  // namespace choir
