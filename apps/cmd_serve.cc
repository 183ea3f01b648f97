// choir serve: the daemon.
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "serve/daemon.h"
#include "terminal.h"

namespace choir::app {
namespace {

struct Options {
  std::vector<std::string> models;
  std::vector<std::string> binds;
  std::uint16_t port = 8411;
  std::string unix_socket;
  std::vector<std::string> allow_hosts;
  std::vector<std::string> allow_origins;
  bool open_to_all = false;
  bool preload = false;
  std::int32_t context_tokens = 0;
  std::int32_t sequences = 8;
  std::int32_t cores = 0;
  KvType kv_type = KvType::kF16;
  double drain_s = 30;
};

constexpr double kDrainMost = 3600;
constexpr std::int32_t kSequencesMost = 256;

bool is_loopback(const std::string& host) { return host == "::1" || host.starts_with("127."); }

// What is wrong with the options before anything begins; empty when all is well.
std::string wrong_with(const Options& options) {
  for (const std::string& host : options.binds)
    if (!is_loopback(host) && !options.open_to_all)
      return "--bind " + host +
             " is not loopback, and there are no keys: everybody who reaches it could use the "
             "models. --i-know-this-is-open allows that";
  if (options.drain_s < 0 || options.drain_s > kDrainMost || !std::isfinite(options.drain_s))
    return "--drain-seconds is " + fixed(options.drain_s, 1) + ", it takes 0 to 3600";
  if (options.sequences < 1 || options.sequences > kSequencesMost)
    return "--sequences is " + std::to_string(options.sequences) + ", it takes 1 to 256";
  if (options.context_tokens < 0)
    return "--context-tokens is " + std::to_string(options.context_tokens) + ", it takes 0 or more";
  return "";
}

serve::DaemonConfig config_of(const Options& options) {
  serve::DaemonConfig config;
  if (!options.binds.empty()) config.server.hosts = options.binds;
  config.server.port = options.port;
  config.server.unix_socket = options.unix_socket;
  config.host_rules.hosts = options.allow_hosts;
  for (const std::string& host : options.binds) config.host_rules.hosts.push_back(host);
  config.host_rules.origins = options.allow_origins;
  config.node.cores = options.cores;
  config.model_defaults = {.context_tokens = options.context_tokens,
                           .sequences_max = options.sequences,
                           .kv_type = options.kv_type};
  config.models = options.models;
  config.preload = options.preload;
  config.drain = std::chrono::seconds(std::llround(options.drain_s));
  return config;
}

void print_welcome(const serve::Daemon& daemon) {
  const std::vector<std::string> addresses = daemon.addresses();
  const std::vector<std::string> models = daemon.models();
  std::string out = "Choir serves on";
  for (const std::string& address : addresses) out += " " + address;
  out += "\n";
  if (models.empty()) {
    out += "  models    those of the models folder, by name; `choir models` lists them\n";
  } else {
    out += "  models   ";
    for (const std::string& name : models) out += " " + name;
    out += "\n";
  }
  const std::string model = models.empty() ? "NAME" : models.front();
  if (addresses.front().starts_with("http"))
    out += "  try       curl " + addresses.front() + "/v1/chat/completions -d '{\"model\": \"" +
           model +
           "\", \"messages\": [{\"role\": \"user\", \"content\": \"Name three rivers\"}]}'\n"
           "  clients   base URL " +
           addresses.front() + "/v1, any key\n";
  out += "  end       Ctrl-C; work in flight is finished first\n";
  print(out);
}

Result<int> run(const Options& options) {
  if (const std::string wrong = wrong_with(options); !wrong.empty()) return usage_error(wrong);
  auto daemon = CHOIR_TRY(serve::Daemon::start(config_of(options)));
  print_welcome(*daemon);
  daemon->run();
  return kExitOk;
}

}  // namespace

void add_serve(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(
      root, "serve", "Serve models to clients of OpenAI's API over HTTP",
      "  choir serve --model smollm2-135m --model gemma3-270m\n"
      "  choir serve                              any model of the models folder, by its name\n"
      "  choir serve --unix-socket /run/choir.sock --port 8500");
  add_list(*command, "--model", options->models, "MODEL",
           "Name or GGUF file; may be given several times. Loaded by its first request");
  command->add_flag("--preload", options->preload, "Load these models before serving");
  add_list(*command, "--bind", options->binds, "ADDRESS",
           "Address to listen on; may be given several times [127.0.0.1 and ::1]");
  add_value(*command, "--port", options->port, "N", "Port; 0 takes a free one");
  add_value(*command, "--unix-socket", options->unix_socket, "PATH",
            "Listen on a unix socket, too, for this user only");
  add_list(*command, "--allow-host", options->allow_hosts, "NAME",
           "Another name under which clients reach this daemon");
  add_list(*command, "--allow-origin", options->allow_origins, "ORIGIN",
           "Web pages of this origin may use the daemon: https://chat.example");
  command->add_flag("--i-know-this-is-open", options->open_to_all,
                    "Allow an address of --bind that is not loopback");
  add_value(*command, "--context-tokens", options->context_tokens, "N",
            "Longest prompt and answer together, 0 for 4096 or what the model takes");
  add_value(*command, "--sequences", options->sequences, "N",
            "Most generations of one model at once");
  add_value(*command, "--drain-seconds", options->drain_s, "SECONDS",
            "Most time for work in flight at the end");
  add_kv_type(*command, options->kv_type);
  add_cores(*command, options->cores);
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace choir::app
