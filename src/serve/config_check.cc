// check_files() of serve/config.h.
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "choir/catalog.h"
#include "choir/model_info.h"
#include "choir/text.h"
#include "serve/config.h"

namespace choir::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPathShown = 200;

// The name of a flag or a variable is that of the key.
std::string place_of(const SettingValue& setting) {
  const std::string key = "'" + std::string(setting.setting->name) + "'";
  if (setting.origin != Origin::kFile) return setting.where + " (" + key + ")";
  return setting.where + ": " + key;
}

tl::unexpected<Error> wrong(const SettingValue& setting, const std::string& path,
                            const std::string& what) {
  return fail(Code::kNotFound,
              place_of(setting) + " is '" + printable_line(path, kPathShown) + "'; " + what);
}

// Empty where nothing is named.
std::string path_of(const SettingValue& setting) {
  return setting.value.is_string() ? setting.value.get<std::string>() : "";
}

Status check_model(const std::string& name, Heads heads) {
  const std::string path = CHOIR_TRY(resolve_model(name));
  if (heads == Heads::kRead) CHOIR_TRY(inspect_model(path));
  return {};
}

}  // namespace

Status check_files(const Config& config, Heads heads) {
  std::error_code error;
  const SettingValue& keys = config.of("access.keys_file");
  if (const std::string path = path_of(keys); !path.empty() && !fs::exists(path, error))
    return wrong(keys, path, "there is no such file: `choir key new NAME` makes one");
  const SettingValue& pages = config.of("dashboard.folder");
  if (const std::string path = path_of(pages); !path.empty() && !fs::is_directory(path, error))
    return wrong(pages, path, "that is no folder; leave it out for the pages of the program");
  const SettingValue& log = config.of("access_log");
  const fs::path logs = fs::path(path_of(log)).parent_path();
  if (!logs.empty() && !fs::is_directory(logs, error))
    return wrong(log, path_of(log), "there is no folder '" + logs.string() + "'; make it first");
  const SettingValue& models = config.of("models");
  for (const Json& model : models.value)
    if (const Status fits = check_model(model["model"].get<std::string>(), heads); !fits)
      return tl::unexpected(Error(fits.error()).in(place_of(models)));
  return {};
}

}  // namespace choir::serve
