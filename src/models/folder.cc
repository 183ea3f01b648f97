#include <pwd.h>
#include <strings.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "base/environment.h"
#include "base/split_name.h"
#include "choir/catalog.h"

namespace choir {
namespace {

namespace fs = std::filesystem;

std::string home() {
  if (std::string set = environment("HOME"); !set.empty()) return set;
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found);
  return found != nullptr ? found->pw_dir : "/tmp";
}

// Absolute, because helper programs run in a folder of their own.
std::string full_path(const fs::path& path) {
  std::error_code error;
  const fs::path full = fs::absolute(path, error);
  return (error ? path : full).lexically_normal().string();
}

std::string display_name(const fs::path& path) {
  for (const CatalogEntry& entry : catalog())
    if (path.filename() == entry.file) return entry.name;
  return path.stem().string();
}

}  // namespace

bool is_model_file(const fs::path& path) {
  return strcasecmp(path.extension().c_str(), ".gguf") == 0 &&
         path.filename().string().front() != '.';
}

std::string models_folder() {
  if (const std::string set = environment("CHOIR_MODELS"); !set.empty()) return full_path(set);
  if (const std::string set = environment("CHOIR_CACHE"); !set.empty())
    return full_path(fs::path(set) / "models");
  // The XDG rules tell programs to ignore a path that is not absolute.
  if (const std::string set = environment("XDG_CACHE_HOME"); set.starts_with('/'))
    return full_path(fs::path(set) / "choir" / "models");
  return full_path(fs::path(home()) / ".cache" / "choir" / "models");
}

Result<std::vector<LocalModel>> local_models() {
  const std::string folder = models_folder();
  std::vector<LocalModel> models;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) return models;  // nothing fetched yet
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::error_code gone;  // a file may vanish while we look: skip it
    const fs::path path = entries->path();
    if (!is_model_file(path) || !fs::is_regular_file(path, gone)) continue;
    const auto split = split_name(path.string());
    if (split && split->part != 1) continue;  // of a model that its first part stands for
    std::uintmax_t bytes = 0;
    for (const std::string& part : model_parts(path.string()))
      if (const std::uintmax_t more = fs::file_size(part, gone); !gone) bytes += more;
    if (bytes > 0 || !gone) models.push_back({display_name(path), path.string(), bytes});
  }
  if (error)
    return fail(Code::kUnavailable, "cannot read the models folder '" + folder +
                                        "': " + error.message() + "; CHOIR_MODELS names another");
  std::ranges::sort(models, {}, [](const LocalModel& m) { return std::pair(m.name, m.path); });
  return models;
}

}  // namespace choir
