#include "base/cache_folder.h"

#include "base/environment.h"

namespace choir {

std::string cache_folder() {
  if (std::string own = environment("CHOIR_CACHE"); !own.empty()) return own;
  if (const std::string xdg = environment("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/choir";
  if (const std::string home = environment("HOME"); !home.empty()) return home + "/.cache/choir";
  return {};
}

}  // namespace choir
