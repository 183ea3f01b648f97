// choir serve: the daemon.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "choir/catalog.h"
#include "command.h"
#include "exit_code.h"
#include "serve/config.h"
#include "serve/daemon.h"
#include "serve_flags.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr std::string_view kFirstModel = "smollm2-135m";  // of the catalogue

// A model of the models folder for a first chat: one of the catalogue if there is one, as others
// may be encoders, which the files would have to be opened to know; empty: the folder is.
std::string local_model() {
  const auto local = local_models();
  if (!local || local->empty()) return {};
  const auto known = std::ranges::find_if(*local, [](const LocalModel& model) {
    return std::ranges::find(catalog(), model.name, &CatalogEntry::name) != catalog().end();
  });
  return known != local->end() ? known->name : local->front().name;
}

void print_welcome(serve::Daemon& daemon, bool has_keys) {
  const std::vector<std::string> addresses = daemon.addresses();
  const std::vector<std::string> models = daemon.models();
  const std::string local = models.empty() ? local_model() : std::string();
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
    for (const std::string& name : models) out += " " + name;
    out += "\n";
  }
  const std::string model = !models.empty()  ? models.front()
                            : !local.empty() ? local
                                             : std::string(kFirstModel);
  if (addresses.front().starts_with("http"))
    out += "  try       curl " + addresses.front() + "/v1/chat/completions" +
           (has_keys ? " -H 'Authorization: Bearer KEY'" : "") + " -d '{\"model\": \"" + model +
           "\", \"messages\": [{\"role\": \"user\", \"content\": \"Name three rivers\"}]}'\n"
           "  clients   base URL " +
           addresses.front() + "/v1, " + (has_keys ? "a key of `choir key new`" : "any key") + "\n";
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
