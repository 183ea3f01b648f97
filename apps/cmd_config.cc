// choir config: the settings of the daemon, where each is from, and the schema of their file.
#include <memory>

#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "serve/config.h"
#include "serve_flags.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr std::size_t kValueShown = 60;

std::string value_text(const serve::Json& value) {
  if (value.is_null()) return "-";
  return printable_line(value.dump(-1, ' ', false, serve::Json::error_handler_t::replace),
                        kValueShown);
}

// Whether a daemon could start with them.
Status check(const serve::Config& config) {
  CHOIR_CHECK_OK(serve::check_files(config, serve::Heads::kRead));
  CHOIR_TRY(serve::daemon_config(config));
  return {};
}

Result<int> show(const ServeFlags& flags, bool json, bool validate) {
  const serve::Config config = CHOIR_TRY(flags.read());
  if (validate) CHOIR_CHECK_OK(check(config));
  if (json) {
    print(serve::shown(config).dump(2, ' ', false, serve::Json::error_handler_t::replace) + "\n");
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {{"SETTING", "VALUE", "FROM"}};
  for (const serve::SettingValue& v : config.values) {
    const std::string from = v.where.empty() ? std::string(to_string(v.origin)) : v.where;
    rows.push_back({std::string(v.setting->name), value_text(v.value), from});
  }
  print(table(rows, "lll"));
  return kExitOk;
}

// By the file alone: neither the environment nor the usual file has a say.
Result<int> validate(const std::string& file) {
  const serve::ConfigSources sources{.file = CHOIR_TRY(serve::find_config_file(file, {}))};
  const serve::Config config = CHOIR_TRY(serve::read_config(sources));
  CHOIR_CHECK_OK(check(config));
  print("'" + file + "' is valid\n");
  return kExitOk;
}

}  // namespace

void add_config(CLI::App& root, Run& chosen) {
  CLI::App* config = add_command(root, "config", "Show and check the settings of `choir serve`",
                                 "  choir config show --config serve.yaml --port 8500\n"
                                 "  choir config validate serve.yaml\n"
                                 "  choir config schema > serve.schema.json");
  config->require_subcommand(1);

  CLI::App* all = add_command(*config, "show",
                              "Show each setting and where it is from; it takes the flags of "
                              "`choir serve`",
                              "  choir config show --json");
  const auto flags = std::make_shared<ServeFlags>(*all);
  const auto json = std::make_shared<bool>(false);
  add_json(*all, *json);
  const auto valid = std::make_shared<bool>(false);
  all->add_flag("--validate", *valid, "First say what is wrong with them, if anything is");
  all->callback([flags, json, valid, &chosen] {
    chosen = [flags, json, valid] { return show(*flags, *json, *valid); };
  });

  CLI::App* one = add_command(*config, "validate", "Say whether a file of settings is valid",
                              "  choir config validate serve.yaml");
  const auto file = std::make_shared<std::string>();
  add_value(*one, "FILE", *file, "", "Its path")->required();
  one->callback([file, &chosen] { chosen = [file] { return validate(*file); }; });

  add_command(*config, "schema", "Print the JSON schema of the file", "  choir config schema")
      ->callback([&chosen] {
        chosen = []() -> Result<int> {
          print(serve::config_schema());
          return kExitOk;
        };
      });
}

}  // namespace choir::app
