#include "options.h"

#include <memory>

#include "choir/config.h"
#include "choir/text.h"
#include "exit_code.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr std::size_t kHelpColumn = 30;

// "--seed N   description [default 8]" instead of CLI11's "--seed INT=8   description".
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_positional() || option->get_type_size() == 0) return "";
    return " " + option->get_type_name();
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string value = option->get_default_str();
    return option->get_description() + (value.empty() ? "" : " [" + value + "]");
  }
};

const CLI::App& deepest(const CLI::App& root) {
  const CLI::App* app = &root;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
  return *app;
}

std::string full_name(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : full_name(*parent) + " " + app.get_name();
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<std::string> commands_of(const CLI::App& root) {
  std::vector<std::string> names;
  for (const CLI::App* command : root.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

std::string meant(std::string_view word, const std::vector<std::string>& known) {
  const auto near = nearest(word, known);
  return near ? ", did you mean '" + *near + "'?" : "";
}

std::string about_unexpected(const CLI::App& root, const CLI::App& command,
                             const std::string& word) {
  if (word.starts_with("-") && word.size() > 1) {
    const std::string flag = word.substr(0, word.find('='));
    return "unknown option '" + flag + "'" + meant(flag, flags_of(command));
  }
  if (&command == &root) return "unknown command '" + word + "'" + meant(word, commands_of(root));
  return "unexpected argument '" + word + "'; put a text of several words in quotes";
}

}  // namespace

int usage_error(std::string_view sentence) {
  complain(sentence);
  return kExitUsage;
}

int usage_error(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App& command = deepest(root);
  const std::vector<std::string> rest = root.remaining(true);
  std::string sentence = error.what();
  if (!rest.empty()) sentence = about_unexpected(root, command, rest.front());
  return usage_error(sentence + " (see '" + full_name(command) + " --help')");
}

void set_up(CLI::App& root) {
  auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(kHelpColumn);
  formatter->label("Positionals", "Arguments");
  formatter->label("Subcommands", "Commands");
  formatter->label("SUBCOMMAND", "COMMAND");
  root.formatter(formatter);
  root.require_subcommand(1);
}

CLI::App* add_command(CLI::App& root, const std::string& name, const std::string& description,
                      const std::string& examples) {
  CLI::App* command = root.add_subcommand(name, description);
  command->footer("Examples:\n" + examples);
  return command;
}

CLI::Option* add_list(CLI::App& app, const std::string& names, std::vector<std::string>& target,
                      const std::string& what, const std::string& description) {
  return app.add_option(names, target, description)->type_name(what)->allow_extra_args(false);
}

void add_json(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "Print JSON on standard output, and only that");
}

void add_cores(CLI::App& app, std::int32_t& cores) {
  add_value(app, "--cores", cores, "N", "CPU cores to use, 0 for all that are allowed")
      ->check([](const std::string& text) -> std::string {
        NodeConfig config;
        std::from_chars(text.data(), text.data() + text.size(), config.cores);
        const Status valid = validate(config);
        return valid ? "" : valid.error().message;
      });
}

void add_kv_type(CLI::App& app, KvType& kv_type) {
  const auto take = [&kv_type](const std::string& word) { kv_type = kv_type_named(word).value(); };
  app.add_option_function<std::string>("--kv-type", take,
                                       "How keys and values are kept: f16, or q8_0 in half of "
                                       "the memory")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("TYPE")
      ->default_str(std::string(to_string(kv_type)))
      ->check([](const std::string& word) -> std::string {
        const auto named = kv_type_named(word);
        return named ? "" : named.error().message;
      });
}

}  // namespace choir::app
