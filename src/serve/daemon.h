// The daemon: a node, its models, and the server that clients talk to.
//
//   auto daemon = choir::serve::Daemon::start(config).value();
//   daemon->run();   // until SIGTERM or SIGINT
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "choir/config.h"
#include "choir/result.h"
#include "serve/models.h"
#include "serve/router.h"
#include "serve/server.h"
#include "serve/ui_files.h"

namespace choir::serve {

struct DaemonConfig {
  ServerConfig server;
  NodeConfig node;
  ModelDefaults model_defaults;
  HostRules host_rules;
  Keys keys;                 // none: requests over TCP need no key and may not change the daemon
  std::string keys_file;     // empty: default_keys_file(); read again on SIGHUP
  bool keys_needed = false;  // others than this machine reach it: no keys are not taken on SIGHUP
  bool open_to_all = false;  // an address that is not loopback is allowed without keys
  std::vector<ModelConfig> models;              // declared at the start
  bool preload = false;                         // all of them are loaded before the first request
  Json settings;                                // what GET /choir/v1/config says
  Nanos load_wait = std::chrono::seconds(120);  // most time that a request waits for its model
  Nanos ping_every = std::chrono::seconds(15);  // of silence in a stream
  std::chrono::seconds drain{30};  // most time for work in flight once the daemon is to end
  // A line for each exchange: a file that is appended to, or "-" for stderr; empty: none.
  std::string access_log = {};
  // Whose names the metrics have: "choir", "vllm", "llamacpp", or several with commas between.
  std::string metric_names = "choir";
  UiConfig ui;
};

struct DeclaredModel {
  std::string name;
  std::string path;  // of its file
};

// What the HTTP API is, from the tables that the daemon works with.
struct ApiDocument {
  std::string openapi;  // JSON
  std::string markdown;
  std::string fuzz_dictionary;  // names of fields, for libFuzzer
};

class Daemon {
 public:
  // The document of the API, without a daemon: opens nothing and loads nothing.
  static Result<ApiDocument> api();

  // Opens the listeners and declares the models; serves nothing yet. Blocks for files that were not
  // seen before, and for loads with `preload`.
  static Result<std::unique_ptr<Daemon>> start(const DaemonConfig& config);
  // Ends the requests that run. Not while run() runs.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  std::vector<std::string> addresses() const;
  std::vector<DeclaredModel> models() const;  // at the start, in that order

  // A link to the dashboard, which works once, within 10 minutes, and has the rights of the unix
  // socket: for who has started the daemon. Empty: there is no dashboard, or no browser reaches it,
  // or a service manager has started it, which keeps what is printed. Not while run() runs.
  std::string dashboard_link();

  // Serves on the calling thread, and tells a service manager (systemd) so. SIGTERM or SIGINT shuts
  // the door: new requests get 503, those in flight go on for at most `drain`. A second signal ends
  // them at once. Blocks.
  void run();

 private:
  class Inside;
  // A node and its routes; nothing is open or declared yet.
  static Result<std::unique_ptr<Inside>> make(const DaemonConfig& config);
  explicit Daemon(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace choir::serve
