// The settings of `choir serve`: one row for each, from which the file, the variables of the
// environment, the flags, help texts, errors, `choir config` and the schema of the file come.
//
// Pure: any thread, does not block.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "serve/json_in.h"

namespace choir::serve {

struct DaemonConfig;
struct ModelConfig;

enum class SettingType : std::uint8_t {
  kBoolean,
  kInteger,
  kNumber,
  kText,      // any characters
  kName,      // a text on one line
  kPath,      // in the file: from the file's folder, unless it begins with '/'
  kNames,     // a list of kName
  kChoice,    // one of `choices`
  kTime,      // seconds, or a text such as 10m
  kSampling,  // a map of fields of requests
  kModels,    // a list of models, each a text or a map of model_settings()
};

struct Setting {
  // In the file: of "listen.port" `port` is in the map `listen`.
  std::string_view name = {};
  std::string_view flag = {};  // of `choir serve`; empty: it has none
  std::string_view what = {};  // the flag's value in help: "N"
  SettingType type = SettingType::kBoolean;
  double least = 0;  // of a number; of a text, its bytes; of a list, its entries
  double most = 0;
  std::span<const std::string_view> choices = {};
  std::string_view otherwise = {};  // the default, as JSON; null: as the meaning says
  std::string_view meaning = {};
  // What the type does not say of a value that fits it: "takes ..., not ..."; nullopt: nothing.
  std::optional<std::string> (*also)(const Json& value) = nullptr;
  // Which of the two, goes by the table. The value has passed check() and is not null.
  void (*to_daemon)(DaemonConfig& daemon, const Json& value) = nullptr;
  void (*to_model)(ModelConfig& model, const Json& value) = nullptr;
};

std::span<const Setting> settings();        // of the daemon
std::span<const Setting> model_settings();  // of an entry of its `models`

// The fields of requests that `sampling` of a model may have.
std::span<const std::string_view> sampling_fields();

// The variable of the environment: CHOIR_SERVE_LISTEN_PORT of "listen.port".
inline constexpr std::string_view kVariables = "CHOIR_SERVE_";
std::string variable_of(const Setting& setting);

// What a value may be: "a whole number from 0 to 65535".
std::string takes(const Setting& setting);
// What is wrong with a value: "takes a whole number from 0 to 65535, not 70000"; nullopt: nothing.
// `inside` kModels and kSampling it does not look: serve/config does, which knows the lines.
std::optional<std::string> check(const Setting& setting, const Json& value);

// A text as a flag or a variable gives it, by the setting's type; check() says whether it fits.
Json value_of(const Setting& setting, std::string_view text);
// A text without quotes, as YAML has it: true, false, numbers as in JSON; anything else is a text.
Json plain_value(const std::string& text);

}  // namespace choir::serve
