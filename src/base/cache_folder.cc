#include "base/cache_folder.h"

#include <cstdlib>

namespace choir {

std::string cache_folder() {
  const auto get = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (std::string own = get("CHOIR_CACHE"); !own.empty()) return own;
  if (const std::string xdg = get("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/choir";
  if (const std::string home = get("HOME"); !home.empty()) return home + "/.cache/choir";
  return {};
}

}  // namespace choir
