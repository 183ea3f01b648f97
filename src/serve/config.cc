#include "serve/config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/log.h"
#include "choir/text.h"
#include "serve/config_file.h"
#include "serve/model_config.h"
#include "serve/value_rule.h"
#include "serve/yaml_in.h"

namespace choir::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileVariable = "CHOIR_SERVE_CONFIG";

SettingValue& value_in(Config& config, const Setting& setting) {
  return config.values.at(static_cast<std::size_t>(&setting - settings().data()));
}

bool is_list(const Setting& setting) {
  return setting.type == SettingType::kNames || setting.type == SettingType::kModels;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size() && !text.empty()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// The value of texts that are given for one setting; `where` is a variable or a flag.
Status set(Config& config, const Setting& setting, const std::vector<std::string>& texts,
           Origin origin, const std::string& where) {
  Json value = Json::array();
  if (!is_list(setting)) value = value_of(setting, texts.empty() ? "" : texts.back());
  for (const std::string& text : texts)
    if (is_list(setting)) value.push_back(value_of(setting, text).front());
  if (const auto what = check(setting, value))
    return fail(Code::kInvalidArgument, where + " " + *what);
  value_in(config, setting) = {&setting, std::move(value), origin, where};
  return {};
}

// The entries of the file that `--model` names keep what the file says of them.
void choose_models(Config& config, const Json& of_file) {
  SettingValue& models = value_in(config, *config.of("models").setting);
  if (models.origin == Origin::kFile) return;
  for (Json& chosen : models.value)
    for (const Json& model : of_file)
      if (model["model"] == chosen["model"] || model.value("name", Json()) == chosen["model"]) {
        chosen = model;
        break;
      }
}

Status set_variables(Config& config, const std::vector<Given>& variables) {
  std::vector<std::string> known = {std::string(kFileVariable)};
  for (const Setting& setting : settings()) known.push_back(variable_of(setting));
  for (const Given& variable : variables) {
    if (!variable.name.starts_with(kVariables) || variable.name == kFileVariable) continue;
    const auto found = std::ranges::find(known, variable.name);
    if (found == known.end()) {
      const auto near = nearest(variable.name, known);
      log(LogLevel::kWarn, "the variable " + printable_line(variable.name, kShown) +
                               " is no setting" + (near ? "; did you mean " + *near + "?" : ""));
      continue;
    }
    const Setting& setting = settings()[static_cast<std::size_t>(found - known.begin() - 1)];
    CHOIR_CHECK_OK(set(config, setting,
                       is_list(setting) ? split(variable.text) : std::vector{variable.text},
                       Origin::kVariable, variable.name));
  }
  return {};
}

Status set_flags(Config& config, const std::vector<Given>& flags) {
  for (const Setting& setting : settings()) {
    std::vector<std::string> texts;
    for (const Given& flag : flags)
      if (flag.name == setting.name) texts.push_back(flag.text);
    if (!texts.empty())
      CHOIR_CHECK_OK(set(config, setting, texts, Origin::kFlag, std::string(setting.flag)));
  }
  return {};
}

bool is_loopback(const std::string& host) { return host == "::1" || host.starts_with("127."); }

std::string default_config_file() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (const std::string xdg = variable("XDG_CONFIG_HOME"); xdg.starts_with('/'))
    return xdg + "/choir/serve.yaml";
  const std::string home = variable("HOME");
  return home.empty() ? "" : home + "/.config/choir/serve.yaml";
}

Result<ConfigFile> read_file(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error))
    return fail(Code::kNotFound, "there is no file of settings '" + path + "'");
  if (!fs::is_regular_file(path, error))
    return fail(Code::kInvalidArgument, "'" + path + "' is no file of settings");
  std::ifstream file(path, std::ios::binary);
  std::string text(YamlLimits{}.bytes_max + 1, '\0');  // one more shows that there are too many
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof()))
    return fail(Code::kUnavailable, "'" + path + "' cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  return ConfigFile{path, std::move(text)};
}

}  // namespace

const SettingValue& Config::of(std::string_view name) const {
  return *std::ranges::find_if(values,
                               [&](const SettingValue& v) { return v.setting->name == name; });
}

std::vector<Given> environment() {
  std::vector<Given> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos && text.starts_with(kVariables))
      variables.push_back(
          {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))});
  }
  return variables;
}

Result<std::optional<ConfigFile>> find_config_file(const std::optional<std::string>& named,
                                                   const std::vector<Given>& variables) {
  std::optional<std::string> path = named;
  for (const Given& variable : variables)
    if (!path && variable.name == kFileVariable) path = variable.text;
  if (path) {
    if (path->empty()) return std::nullopt;
    return CHOIR_TRY(read_file(*path));
  }
  const std::string usual = default_config_file();
  std::error_code error;
  if (usual.empty() || !fs::exists(usual, error)) return std::nullopt;
  return CHOIR_TRY(read_file(usual));
}

Result<Config> read_config(const ConfigSources& sources) {
  Config config;
  for (const Setting& setting : settings())
    config.values.push_back({.setting = &setting, .value = Json::parse(setting.otherwise)});
  Json models = Json::array();
  if (sources.file) {
    config.file = sources.file->path;
    for (SettingValue& value : CHOIR_TRY(settings_in(*sources.file)))
      value_in(config, *value.setting) = std::move(value);
    models = config.of("models").value;
  }
  CHOIR_CHECK_OK(set_variables(config, sources.variables));
  CHOIR_CHECK_OK(set_flags(config, sources.flags));
  choose_models(config, models);
  return config;
}

Result<DaemonConfig> daemon_config(const Config& config) {
  DaemonConfig daemon;
  for (const SettingValue& v : config.values)
    if (!v.value.is_null()) v.setting->to_daemon(daemon, v.value);
  daemon.keys = CHOIR_TRY(keys_of(daemon.keys_file));
  for (const std::string& host : daemon.server.endpoints.hosts)
    daemon.keys_needed = daemon.keys_needed || (!is_loopback(host) && !daemon.open_to_all);
  const SettingValue& addresses = config.of("listen.addresses");
  for (const std::string& host : daemon.server.endpoints.hosts)
    if (!is_loopback(host) && daemon.keys_needed && daemon.keys.empty())
      return fail(Code::kInvalidArgument,
                  addresses.where + " " + printable_line(host, kShown) +
                      " is not loopback, and there are no keys: everybody who reaches it could use "
                      "the models. `choir key new` makes keys; --i-know-this-is-open "
                      "(listen.open_to_all) does without");
  daemon.settings = shown(config);
  return daemon;
}

Json shown(const Config& config) {
  Json all = Json::object();
  for (const SettingValue& v : config.values) {
    Json row = {{"value", v.value}, {"origin", to_string(v.origin)}};
    if (!v.where.empty()) row["where"] = v.where;
    all[std::string(v.setting->name)] = std::move(row);
  }
  return {{"file", config.file.empty() ? Json(nullptr) : Json(config.file)},
          {"settings", std::move(all)}};
}

}  // namespace choir::serve
