// A variable of the process's environment.
#pragma once

#include <string>

namespace choir {

// Empty where it is not set. Any thread, while none changes the environment; does not block.
std::string environment(const char* name);

}  // namespace choir
