// An executor goes to another node with everything that runs in it, or comes from one.
#include "runtime/runtime.h"

namespace choir {

Status Runtime::migrate(std::string_view name, NodeSeam& target,
                        const std::function<void()>& moved) {
  CHOIR_CHECK_OK(refuse_inside_callback("migrate()", "another thread"));
  return move_executor(*this, target, name, moved);
}

Status Runtime::expect(const ExecutorMove& move) {
  CHOIR_CHECK_OK(validate(move.config));
  watch_exit();
  return moves_.expect(move);
}

}  // namespace choir
