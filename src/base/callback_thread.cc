#include "base/callback_thread.h"

#include <string>

namespace choir {
namespace {

thread_local bool runs_callbacks = false;

}  // namespace

void become_callback_thread() { runs_callbacks = true; }

bool on_callback_thread() { return runs_callbacks; }

Status refuse_inside_callback(const char* call, const char* instead) {
  if (!runs_callbacks) return {};
  return fail(Code::kInvalidArgument,
              std::string(call) + " would wait for itself inside a callback; use " + instead);
}

}  // namespace choir
