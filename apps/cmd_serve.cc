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
  std::vector<std::string> unix_sockets;  // the last one counts
  std::vector<std::string> allow_hosts;
  std::vector<std::string> allow_origins;
  std::string keys_file;
  bool open_to_all = false;
  bool preload = false;
  std::int32_t context_tokens = 0;
  std::int32_t sequences = 8;
  std::int32_t cores = 0;
  KvType kv_type = KvType::kF16;
  double drain_s = 30;
  std::string access_log;
  std::string metric_names = "choir";
};

constexpr double kDrainMost = 3600;
constexpr std::int32_t kSequencesMost = 256;

bool is_loopback(const std::string& host) { return host == "::1" || host.starts_with("127."); }

// The keys of the file that was named, or of the usual one if it is there.
Result<serve::Keys> keys_of(const Options& options) {
  const bool named = !options.keys_file.empty();
  auto keys = serve::Keys::read(named ? options.keys_file : serve::default_keys_file());
  if (!keys && !named && keys.error().code == Code::kNotFound) return serve::Keys();
  return keys;
}

// What is wrong with the options before anything begins; empty when all is well.
std::string wrong_with(const Options& options, bool has_keys) {
  for (const std::string& host : options.binds)
    if (!is_loopback(host) && !has_keys && !options.open_to_all)
      return "--bind " + host +
             " is not loopback, and there are no keys: everybody who reaches it could use the "
             "models. `choir key new` makes keys; --i-know-this-is-open does without";
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
  if (!options.binds.empty()) config.server.endpoints.hosts = options.binds;
  config.server.endpoints.port = options.port;
  if (!options.unix_sockets.empty())
    config.server.endpoints.unix_socket = options.unix_sockets.back();
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
  config.access_log = options.access_log;
  config.metric_names = options.metric_names;
  return config;
}

void print_welcome(const serve::Daemon& daemon, bool has_keys) {
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
    out += "  try       curl " + addresses.front() + "/v1/chat/completions" +
           (has_keys ? " -H 'Authorization: Bearer KEY'" : "") + " -d '{\"model\": \"" + model +
           "\", \"messages\": [{\"role\": \"user\", \"content\": \"Name three rivers\"}]}'\n"
           "  clients   base URL " +
           addresses.front() + "/v1, " + (has_keys ? "a key of `choir key new`" : "any key") + "\n";
  out += "  end       Ctrl-C; work in flight is finished first\n";
  print(out);
}

Result<int> run(const Options& options) {
  serve::DaemonConfig config = config_of(options);
  config.keys = CHOIR_TRY(keys_of(options));
  const bool has_keys = !config.keys.empty();
  if (const std::string wrong = wrong_with(options, has_keys); !wrong.empty())
    return usage_error(wrong);
  auto daemon = CHOIR_TRY(serve::Daemon::start(config));
  print_welcome(*daemon, has_keys);
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
  add_list(*command, "--unix-socket", options->unix_sockets, "PATH",
           "Its unix socket, for this user only, which may change things; '' for none "
           "[choir-PORT.sock in XDG_RUNTIME_DIR or the cache folder]");
  add_list(*command, "--allow-host", options->allow_hosts, "NAME",
           "Another name under which clients reach this daemon");
  add_list(*command, "--allow-origin", options->allow_origins, "ORIGIN",
           "Web pages of this origin may use the daemon: https://chat.example");
  add_value(*command, "--keys", options->keys_file, "FILE",
            "API keys; without it, ~/.config/choir/keys.json if it is there");
  command->add_flag("--i-know-this-is-open", options->open_to_all,
                    "Allow an address of --bind that is not loopback");
  add_value(*command, "--context-tokens", options->context_tokens, "N",
            "Longest prompt and answer together, 0 for 4096 or what the model takes");
  add_value(*command, "--sequences", options->sequences, "N",
            "Most generations of one model at once");
  add_value(*command, "--drain-seconds", options->drain_s, "SECONDS",
            "Most time for work in flight at the end");
  add_value(*command, "--access-log", options->access_log, "FILE",
            "Append a line of JSON for each request; - for stderr");
  add_value(*command, "--metrics-names", options->metric_names, "NAMES",
            "Names of the metrics: choir, vllm, llamacpp, or several with commas between");
  add_kv_type(*command, options->kv_type);
  add_cores(*command, options->cores);
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace choir::app
