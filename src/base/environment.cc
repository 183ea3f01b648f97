#include "base/environment.h"

#include <cstdlib>

namespace choir {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace choir
