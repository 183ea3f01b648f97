// The configuration of `choir serve`: a value for each of its settings, and where it is from.
//
//   file        YAML; names of serve/settings.h
//   environment CHOIR_SERVE_LISTEN_PORT=8500; lists with commas between their entries
//   flags       --port 8500
//
// A flag goes before a variable, a variable before the file, the file before the default.
//
// Any thread. find_config_file(), daemon_config() and check_files() read files; the others are pure
// and do not block. Nothing is thrown.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/result.h"
#include "serve/daemon.h"
#include "serve/json_in.h"
#include "serve/settings.h"

namespace choir::serve {

enum class Origin : std::uint8_t { kDefault, kFile, kVariable, kFlag };
inline constexpr std::array<std::string_view, 4> kOriginNames = {"default", "file", "environment",
                                                                 "flag"};
constexpr std::string_view to_string(Origin origin) {
  return kOriginNames.at(static_cast<std::size_t>(origin));
}

struct SettingValue {
  const Setting* setting = nullptr;
  Json value = nullptr;
  Origin origin = Origin::kDefault;
  std::string where = {};  // "serve.yaml:3", "CHOIR_SERVE_LISTEN_PORT", "--port"
};

struct Config {
  std::string file = {};                  // empty: none was read
  std::vector<SettingValue> values = {};  // of each of settings(), in their order

  const SettingValue& of(std::string_view name) const;  // `name` is a setting
};

struct ConfigFile {
  std::string path;
  std::string text;
};

// A text for a variable of the environment, or for a setting by its name.
struct Given {
  std::string name;
  std::string text;
};

struct ConfigSources {
  std::optional<ConfigFile> file = {};
  std::vector<Given> variables = {};  // those whose names do not begin with kVariables are skipped
  std::vector<Given> flags = {};      // by the settings' names; of a list one for each entry
};

// The variables of this process. Not while another thread changes them.
std::vector<Given> environment();

// The file of this name, else that of CHOIR_SERVE_CONFIG, else XDG_CONFIG_HOME/choir/serve.yaml or
// ~/.config/choir/serve.yaml if it is there. An empty name is no file. kNotFound, kUnavailable: it
// cannot be read.
Result<std::optional<ConfigFile>> find_config_file(const std::optional<std::string>& named,
                                                   const std::vector<Given>& variables);

// kInvalidArgument: the message begins with the place ("serve.yaml:3", the variable or the flag).
// `--model` chooses among the models of the file where it names one of them. A variable that begins
// with kVariables and is none of ours is a warning in the log.
Result<Config> read_config(const ConfigSources& sources);

// What the daemon takes. Reads the API keys. kInvalidArgument: all of it together is not allowed,
// such as an address that everybody reaches and no keys.
Result<DaemonConfig> daemon_config(const Config& config);

// Whether the heads of models are read, too: tenths of a second each, and the daemon does so itself
// when it starts.
enum class Heads : bool { kLeave, kRead };
// What can be looked at without a start: the first file or folder that is named and not there, or a
// model that cannot be loaded. The message begins with the place and the key: "serve.yaml:3:
// 'models': ...". Reads files.
Status check_files(const Config& config, Heads heads);

// {"file": ..., "settings": {"listen.port": {"value": 8411, "origin": "file", "where": ...}}}
Json shown(const Config& config);

// The JSON schema of the file.
std::string config_schema();

}  // namespace choir::serve
