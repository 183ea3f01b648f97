// choir serve: the daemon.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "choir/catalog.h"
#include "choir/model_info.h"
#include "command.h"
#include "exit_code.h"
#include "serve/config.h"
#include "serve/daemon.h"
#include "serve_flags.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr std::string_view kFirstModel = "smollm2-135m";  // of the catalogue

// Those that the daemon knows by name before the first request.
std::vector<serve::DeclaredModel> models_of_folder() {
  std::vector<serve::DeclaredModel> models;
  if (const auto local = local_models())
    for (const LocalModel& model : *local) models.push_back({model.name, model.path});
  return models;
}

struct Example {
  std::string model;
  bool encoder = false;
};

// The first that writes text, by the head of its file; the first one where none does.
Example example_of(const std::vector<serve::DeclaredModel>& models) {
  if (models.empty()) return {std::string(kFirstModel)};
  bool encoder = false;
  for (const serve::DeclaredModel& model : models) {
    const auto info = inspect_model(model.path);
    if (info && info->generates) return {model.name};
    if (&model == &models.front()) encoder = info.has_value();
  }
  return {models.front().name, encoder};
}

// The command that sends a request to it.
std::string command_of(const Example& example, const std::string& url, bool has_keys) {
  const std::string key = has_keys ? " -H 'Authorization: Bearer KEY'" : "";
  const std::string path = example.encoder ? "/v1/embeddings" : "/v1/chat/completions";
  const std::string rest =
      example.encoder ? R"("input": "Name three rivers")"
                      : R"("messages": [{"role": "user", "content": "Name three rivers"}])";
  return "curl " + url + path + key + " -d '{\"model\": \"" + example.model + "\", " + rest + "}'";
}

void print_welcome(serve::Daemon& daemon, bool has_keys) {
  const std::vector<std::string> addresses = daemon.addresses();
  const std::vector<serve::DeclaredModel> models = daemon.models();
  const std::vector<serve::DeclaredModel> local =
      models.empty() ? models_of_folder() : std::vector<serve::DeclaredModel>();
  std::string out = "Choir serves on";
  for (const std::string& address : addresses) out += " " + address;
  out += "\n";
  if (models.empty() && local.empty()) {
    out +=
        "  models    none yet; `choir pull " + std::string(kFirstModel) + "` fetches a small one\n";
  } else if (models.empty()) {
    out += "  models    those of the models folder, by name; `choir models` lists them\n";
  } else {
    out += "  models   ";
    for (const serve::DeclaredModel& model : models) out += " " + model.name;
    out += "\n";
  }
  const std::string& url = addresses.front();
  if (url.starts_with("http"))
    out += "  try       " + command_of(example_of(models.empty() ? local : models), url, has_keys) +
           "\n"
           "  clients   base URL " +
           url + "/v1, " + (has_keys ? "a key of `choir key new`" : "any key") + "\n";
  if (const std::string link = daemon.dashboard_link(); !link.empty())
    out += "  dashboard " + link +
           "\n            once, within 10 minutes; `choir dashboard` opens it later\n";
  out += "  end       Ctrl-C; work in flight is finished first\n";
  print(out);
}

Result<int> run(const ServeFlags& flags, bool validate) {
  const auto config = flags.read();
  const auto daemon_config = config.and_then(serve::daemon_config);
  // A setting that is wrong is as a flag that is wrong: nothing was done.
  if (!daemon_config && daemon_config.error().code == Code::kInvalidArgument)
    return usage_error(daemon_config.error().message);
  if (!daemon_config) return tl::unexpected(daemon_config.error());
  CHOIR_CHECK_OK(
      serve::check_files(*config, validate ? serve::Heads::kRead : serve::Heads::kLeave));
  if (validate) {
    print("these settings are valid\n");
    return kExitOk;
  }
  auto daemon = CHOIR_TRY(serve::Daemon::start(*daemon_config));
  print_welcome(*daemon, !daemon_config->keys.empty());
  daemon->run();
  return kExitOk;
}

}  // namespace

void add_serve(CLI::App& root, Run& chosen) {
  CLI::App* command = add_command(
      root, "serve", "Serve models to clients of OpenAI's API over HTTP",
      "  choir serve --model smollm2-135m --model gemma3-270m\n"
      "  choir serve                              any model of the models folder, by its name\n"
      "  choir serve --config serve.yaml --port 8500");
  const auto flags = std::make_shared<ServeFlags>(*command);
  const auto validate = std::make_shared<bool>(false);
  command->add_flag("--validate", *validate, "Only say whether these settings are allowed");
  command->callback([flags, validate, &chosen] {
    chosen = [flags, validate] { return run(*flags, *validate); };
  });
}

}  // namespace choir::app
