#include "serve_flags.h"

#include <optional>
#include <string>

namespace choir::app {
namespace {

using serve::Setting;
using serve::SettingType;

bool is_list(const Setting& setting) {
  return setting.type == SettingType::kNames || setting.type == SettingType::kModels;
}

// Of help: "8411", "127.0.0.1 and ::1"; empty where the meaning says it.
std::string default_text(const Setting& setting) {
  const serve::Json value = serve::Json::parse(setting.otherwise);
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return value.dump();
  std::string text;
  if (value.is_array())
    for (const serve::Json& entry : value)
      text += (text.empty() ? "" : " and ") + entry.get<std::string>();
  return text;
}

CLI::Option* add_flag(CLI::App& command, const Setting& setting) {
  const std::string name(setting.flag);
  const std::string meaning(setting.meaning);
  if (setting.type == SettingType::kBoolean) return command.add_flag(name, meaning);
  const std::string all = meaning + (is_list(setting) ? "; may be given several times" : "");
  CLI::Option* option =
      command.add_option(name, all)
          ->type_name(std::string(setting.what))
          ->allow_extra_args(false)
          ->default_str(default_text(setting))
          ->check([&setting](const std::string& text) {
            return serve::check(setting, serve::value_of(setting, text)).value_or("");
          });
  return option->multi_option_policy(is_list(setting) ? CLI::MultiOptionPolicy::TakeAll
                                                      : CLI::MultiOptionPolicy::TakeLast);
}

}  // namespace

ServeFlags::ServeFlags(CLI::App& command) {
  const std::string meaning =
      "Its settings as YAML; '' for none [~/.config/choir/serve.yaml if it is there]";
  file_ = command.add_option("--config", meaning)
              ->type_name("FILE")
              ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  for (const Setting& setting : serve::settings())
    if (!setting.flag.empty()) flags_.emplace_back(&setting, add_flag(command, setting));
}

Result<serve::Config> ServeFlags::read() const {
  serve::ConfigSources sources;
  sources.variables = serve::environment();
  const auto file =
      file_->count() > 0 ? std::optional<std::string>(file_->results().back()) : std::nullopt;
  sources.file = CHOIR_TRY(serve::find_config_file(file, sources.variables));
  for (const auto& [setting, option] : flags_) {
    if (option->count() == 0) continue;
    const std::string name(setting->name);
    if (setting->type == SettingType::kBoolean) {
      sources.flags.push_back({name, option->as<bool>() ? "true" : "false"});
      continue;
    }
    for (const std::string& text : option->results()) sources.flags.push_back({name, text});
  }
  return serve::read_config(sources);
}

}  // namespace choir::app
