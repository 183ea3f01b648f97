// The rows of settings() in serve/settings.h.
#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "choir/text.h"
#include "serve/daemon.h"
#include "serve/field_values.h"
#include "serve/metric_names.h"
#include "serve/settings.h"

namespace choir::serve {
namespace {

using enum SettingType;

constexpr double kTokensMost = 1 << 24;
constexpr double kPathMost = 4096;

Nanos nanos_of(const Json& seconds) {
  return std::chrono::duration_cast<Nanos>(std::chrono::duration<double>(seconds.get<double>()));
}

void set_addresses(DaemonConfig& d, const Json& v) {
  std::vector<std::string>& hosts = d.server.endpoints.hosts;
  hosts.clear();
  const auto add = [&](const std::string& host) {
    if (std::ranges::find(hosts, host) == hosts.end()) hosts.push_back(host);
  };
  for (const Json& host : v) {
    if (lower_case(host.get<std::string>()) != "localhost") {
      add(host.get<std::string>());
      continue;
    }
    add("127.0.0.1");
    add("::1");
  }
  // A client that connects to an address names it as its host.
  for (const std::string& host : hosts) d.host_rules.hosts.push_back(host);
}

std::optional<std::string> wrong_address(const Json& hosts) {
  for (const Json& host : hosts) {
    const auto& text = host.get_ref<const std::string&>();
    boost::system::error_code error;
    boost::asio::ip::make_address(text, error);
    if (!error || lower_case(text) == "localhost") continue;
    return "takes an address such as 127.0.0.1 or ::1, not '" + printable_line(text, 60) + "'" +
           (text.starts_with('[') ? "; write it without brackets, and the port in listen.port"
                                  : "");
  }
  return std::nullopt;
}

// As browsers write them; another one would never match.
std::optional<std::string> wrong_origins(const Json& origins) {
  for (const Json& origin : origins) {
    const std::string_view text = origin.get_ref<const std::string&>();
    const std::size_t scheme = text.find("://");
    const std::string_view host = scheme == std::string_view::npos ? "" : text.substr(scheme + 3);
    if (!host.empty() && host.find_first_of("/*?# ") == std::string_view::npos) continue;
    return "takes origins such as https://chat.example or http://localhost:3000, each by name and "
           "without a path, not '" +
           printable_line(text, 60) + "'";
  }
  return std::nullopt;
}

std::optional<std::string> wrong_metric_names(const Json& names) {
  const auto& text = names.get_ref<const std::string&>();
  if (metric_names(text)) return std::nullopt;
  return "takes choir, vllm and llamacpp, with commas between, not '" + printable_line(text, 60) +
         "'";
}

void set_models(DaemonConfig& d, const Json& v) {
  for (const Json& entry : v) {
    ModelConfig model;
    for (const Setting& setting : model_settings())
      if (const auto found = entry.find(setting.name); found != entry.end())
        setting.to_model(model, *found);
    d.models.push_back(std::move(model));
  }
}

void set_stalled(DaemonConfig& d, const Json& v) {
  d.server.timeouts.stalled = nanos_of(v);
  d.node.stalled = std::chrono::milliseconds(std::llround(v.get<double>() * 1000));
}

constexpr auto kSettings = std::to_array<Setting>({
    {.name = "listen.addresses",
     .flag = "--bind",
     .what = "ADDRESS",
     .type = kNames,
     .least = 1,
     .most = 16,
     .otherwise = R"(["127.0.0.1", "::1"])",
     .meaning = "Address to listen on; localhost is 127.0.0.1 and ::1",
     .also = wrong_address,
     .to_daemon = set_addresses},
    {.name = "listen.port",
     .flag = "--port",
     .what = "N",
     .type = kInteger,
     .least = 0,
     .most = 65535,
     .otherwise = "8411",
     .meaning = "Port; 0 takes a free one",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.server.endpoints.port); }},
    {.name = "listen.unix_socket",
     .flag = "--unix-socket",
     .what = "PATH",
     .type = kPath,
     .least = 0,
     .most = kPathMost,
     .otherwise = "null",
     .meaning = "Its unix socket, for this user only, which may change things; '' for none "
                "[choir-PORT.sock in XDG_RUNTIME_DIR or the cache folder]",
     .to_daemon = [](DaemonConfig& d,
                     const Json& v) { d.server.endpoints.unix_socket = v.get<std::string>(); }},
    {.name = "listen.open_to_all",
     .flag = "--i-know-this-is-open",
     .type = kBoolean,
     .otherwise = "false",
     .meaning = "Allow an address that is not loopback without keys",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.open_to_all); }},
    {.name = "access.keys_file",
     .flag = "--keys",
     .what = "FILE",
     .type = kPath,
     .least = 1,
     .most = kPathMost,
     .otherwise = "null",
     .meaning = "API keys; without it, ~/.config/choir/keys.json if it is there",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.keys_file); }},
    {.name = "access.hosts",
     .flag = "--allow-host",
     .what = "NAME",
     .type = kNames,
     .least = 0,
     .most = 256,
     .otherwise = "[]",
     .meaning = "Another name under which clients reach this daemon",
     .to_daemon =
         [](DaemonConfig& d, const Json& v) {
           for (const Json& host : v)
             d.host_rules.hosts.push_back(lower_case(host.get<std::string>()));
         }},
    {.name = "access.origins",
     .flag = "--allow-origin",
     .what = "ORIGIN",
     .type = kNames,
     .least = 0,
     .most = 256,
     .otherwise = "[]",
     .meaning = "Web pages of this origin may use the daemon: https://chat.example",
     .also = wrong_origins,
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.host_rules.origins); }},
    {.name = "models",
     .flag = "--model",
     .what = "MODEL",
     .type = kModels,
     .least = 0,
     .most = 1024,
     .otherwise = "[]",
     .meaning = "Name or GGUF file. Loaded by its first request",
     .to_daemon = set_models},
    {.name = "preload",
     .flag = "--preload",
     .type = kBoolean,
     .otherwise = "false",
     .meaning = "Load all of these models before serving",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.preload); }},
    {.name = "defaults.context_tokens",
     .flag = "--context-tokens",
     .what = "N",
     .type = kInteger,
     .least = 0,
     .most = kTokensMost,
     .otherwise = "0",
     .meaning = "Longest prompt and answer together, 0 for 4096 or what the model takes",
     .also = [](const Json& v) { return wrong_context_tokens(v.get<std::int64_t>()); },
     .to_daemon = [](DaemonConfig& d,
                     const Json& v) { v.get_to(d.model_defaults.context_tokens); }},
    {.name = "defaults.sequences",
     .flag = "--sequences",
     .what = "N",
     .type = kInteger,
     .least = 1,
     .most = 256,
     .otherwise = "8",
     .meaning = "Most generations of one model at once",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.model_defaults.sequences_max); }},
    {.name = "defaults.kv_type",
     .flag = "--kv-type",
     .what = "TYPE",
     .type = kChoice,
     .choices = kKvTypeNames,
     .otherwise = R"("f16")",
     .meaning = "How keys and values are kept: f16, or q8_0 in half of the memory",
     .to_daemon =
         [](DaemonConfig& d, const Json& v) {
           d.model_defaults.kv_type = kv_type_named(v.get<std::string>()).value();
         }},
    {.name = "defaults.keep_alive",
     .type = kTime,
     .otherwise = "null",
     .meaning = "How long a model stays in memory after its last request; below 0 for ever; null "
                "until its memory is needed",
     .to_daemon = [](DaemonConfig& d,
                     const Json& v) { d.model_defaults.keep_alive = keep_alive_of(v); }},
    {.name = "node.cores",
     .flag = "--cores",
     .what = "N",
     .type = kInteger,
     .least = 0,
     .most = 4096,
     .otherwise = "0",
     .meaning = "CPU cores to use, 0 for all that are allowed",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.node.cores); }},
    {.name = "node.lanes",
     .type = kInteger,
     .least = 0,
     .most = 4096,
     .otherwise = "0",
     .meaning =
         "Models that compute at once, each on its part of the cores; 0 as `choir tune` found",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.node.lanes_max); }},
    {.name = "node.memory_bytes",
     .type = kInteger,
     .least = 0,
     .most = 9007199254740992,  // 2^53: a number in JSON
     .otherwise = "0",
     .meaning = "Memory for models, 0 for 90 % of what the machine allows",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.node.memory_bytes_max); }},
    {.name = "node.policy",
     .type = kChoice,
     .choices = kExecutionPolicyNames,
     .otherwise = R"("balanced")",
     .meaning = "How models share the cores",
     .to_daemon =
         [](DaemonConfig& d, const Json& v) {
           for (std::size_t i = 0; i < kExecutionPolicyNames.size(); ++i)
             if (v == kExecutionPolicyNames.at(i)) d.node.policy = static_cast<ExecutionPolicy>(i);
         }},
    {.name = "node.queue",
     .type = kInteger,
     .least = 1,
     .most = 1 << 20,
     .otherwise = "1024",
     .meaning = "Most requests of one model that wait or run",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.node.queue_max); }},
    {.name = "limits.connections",
     .type = kInteger,
     .least = 1,
     .most = 1'000'000,
     .otherwise = "12000",
     .meaning = "Most connections at once; the descriptors of the process are a limit, too",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.server.connections_max); }},
    {.name = "limits.bodies_bytes",
     .type = kInteger,
     .least = 8 << 20,
     .most = 1'099'511'627'776,
     .otherwise = "268435456",
     .meaning = "Most bytes of all bodies that are being read",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.server.body_bytes_max); }},
    {.name = "limits.connections_per_key",
     .type = kInteger,
     .least = 1,
     .most = 1'000'000,
     .otherwise = "2048",
     .meaning = "Most connections at once of one API key",
     .to_daemon = [](DaemonConfig& d,
                     const Json& v) { v.get_to(d.server.accounts.connections_of_key); }},
    {.name = "limits.requests_per_tenant",
     .type = kInteger,
     .least = 1,
     .most = 1'000'000,
     .otherwise = "64",
     .meaning = "Most requests at once of a tenant, beside other tenants",
     .to_daemon = [](DaemonConfig& d,
                     const Json& v) { v.get_to(d.server.accounts.requests_of_tenant); }},
    {.name = "limits.wrong_keys_per_second",
     .type = kNumber,
     .least = 0.1,
     .most = 1'000'000,
     .otherwise = "10",
     .meaning = "Wrong API keys from one address that are answered; more get 429",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.server.wrong_keys.per_second); }},
    {.name = "timeouts.head_seconds",
     .type = kNumber,
     .least = 1,
     .most = 3600,
     .otherwise = "10",
     .meaning = "Most time for the head of a request",
     .to_daemon = [](DaemonConfig& d, const Json& v) { d.server.timeouts.head = nanos_of(v); }},
    {.name = "timeouts.body_seconds",
     .type = kNumber,
     .least = 1,
     .most = 3600,
     .otherwise = "120",
     .meaning = "Most time for the body of a request",
     .to_daemon = [](DaemonConfig& d, const Json& v) { d.server.timeouts.body = nanos_of(v); }},
    {.name = "timeouts.idle_seconds",
     .type = kNumber,
     .least = 1,
     .most = 86400,
     .otherwise = "75",
     .meaning = "Most time between two requests of a connection",
     .to_daemon = [](DaemonConfig& d, const Json& v) { d.server.timeouts.idle = nanos_of(v); }},
    {.name = "timeouts.stalled_seconds",
     .type = kNumber,
     .least = 1,
     .most = 86400,
     .otherwise = "30",
     .meaning = "A client that has read nothing for so long is disconnected",
     .to_daemon = set_stalled},
    {.name = "dashboard.disabled",
     .flag = "--no-ui",
     .type = kBoolean,
     .otherwise = "false",
     .meaning = "Serve no dashboard at /ui/",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.ui.disabled); }},
    {.name = "dashboard.folder",
     .flag = "--ui-dir",
     .what = "DIR",
     .type = kPath,
     .least = 1,
     .most = kPathMost,
     .otherwise = "null",
     .meaning = "Serve the dashboard from the files of this folder, and not from the program",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.ui.folder); }},
    {.name = "access_log",
     .flag = "--access-log",
     .what = "FILE",
     .type = kPath,
     .least = 0,
     .most = kPathMost,
     .otherwise = R"("")",
     .meaning = "Append a line of JSON for each request; - for stderr",
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.access_log); }},
    {.name = "metrics.names",
     .flag = "--metrics-names",
     .what = "NAMES",
     .type = kName,
     .least = 1,
     .most = 256,
     .otherwise = R"("choir")",
     .meaning = "Names of the metrics: choir, vllm, llamacpp, or several with commas between",
     .also = wrong_metric_names,
     .to_daemon = [](DaemonConfig& d, const Json& v) { v.get_to(d.metric_names); }},
    {.name = "load_wait_seconds",
     .flag = "--load-wait-seconds",
     .what = "SECONDS",
     .type = kNumber,
     .least = 1,
     .most = 86400,
     .otherwise = "120",
     .meaning = "Most time that a request waits for its model to be loaded",
     .to_daemon = [](DaemonConfig& d, const Json& v) { d.load_wait = nanos_of(v); }},
    {.name = "ping_seconds",
     .type = kNumber,
     .least = 1,
     .most = 3600,
     .otherwise = "15",
     .meaning = "A stream of a generation without text for so long gets a comment",
     .to_daemon = [](DaemonConfig& d, const Json& v) { d.ping_every = nanos_of(v); }},
    {.name = "drain_seconds",
     .flag = "--drain-seconds",
     .what = "SECONDS",
     .type = kNumber,
     .least = 0,
     .most = 3600,
     .otherwise = "30",
     .meaning = "Most time for work in flight at the end",
     .to_daemon =
         [](DaemonConfig& d, const Json& v) {
           d.drain = std::chrono::seconds(std::llround(v.get<double>()));
         }},
});

}  // namespace

std::span<const Setting> settings() { return kSettings; }

}  // namespace choir::serve
