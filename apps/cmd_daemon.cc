// choir ps, load, unload and stop: commands for a running daemon.
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "options.h"
#include "serve/client.h"
#include "terminal.h"
#include "which_daemon.h"

namespace choir::app {
namespace {

using Reply = nlohmann::ordered_json;

struct DaemonOptions {
  WhichDaemon daemon;
  std::string model;
  bool json = false;
};

// What the daemon answers; its error where it refuses.
Result<Reply> ask(const DaemonOptions& options, const std::string& method,
                  const std::string& path) {
  const serve::DaemonAddress daemon = CHOIR_TRY(address_of(options.daemon));
  const serve::ClientReply reply = CHOIR_TRY(serve::ask(daemon, method, path));
  Reply json = Reply::parse(reply.body, nullptr, false);
  if (!json.is_object())
    return fail(Code::kUnavailable, "what answers at '" +
                                        (daemon.socket.empty() ? daemon.url : daemon.socket) +
                                        "' is no daemon of Choir");
  if (reply.status == 200) return json;
  const std::string message = json.value("/error/message"_json_pointer, reply.body);
  return fail(Code::kUnavailable, message);
}

// As a segment of a path.
std::string escaped(const std::string& name) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '_' || c == '.';
    if (plain)
      out += c;
    else
      out.append({'%', kHex[byte >> 4U], kHex[byte & 15U]});
  }
  return out;
}

std::string seconds_text(double seconds) {
  if (seconds < 60) return fixed(seconds, 0) + " s";
  if (seconds < 3600) return fixed(seconds / 60, 0) + " min";
  return fixed(seconds / 3600, 1) + " h";
}

std::uint64_t number_in(const Reply& row, const char* name) {
  return row.value(name, std::uint64_t{0});
}

// What it adds to the memory of those above: executors of the same file share its weights.
std::string memory_text(const Reply& model, bool shares_weights) {
  const std::uint64_t own = number_in(model, "kv_bytes") + number_in(model, "compute_bytes");
  const std::uint64_t weights = number_in(model, "weight_bytes");
  if (own + weights == 0) return "-";
  return shares_weights ? "+ " + bytes_text(own) : bytes_text(own + weights);
}

std::string state_of(const Reply& model) {
  std::string state = model.value("state", "");
  const auto progress = model.find("load_progress");
  if (progress != model.end() && progress->is_number())
    state += " " + std::to_string(static_cast<int>(progress->get<double>() * 100)) + " %";
  return state;
}

Result<int> ps(const DaemonOptions& options) {
  const Reply reply = CHOIR_TRY(ask(options, "GET", "/choir/v1/models"));
  if (options.json) {
    print(reply.dump(2) + "\n");
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"MODEL", "STATE", "MEMORY", "RUNNING", "WAITING", "IDLE"}};
  std::set<std::string> in_memory;  // files whose weights are counted
  bool any_shared = false;
  for (const Reply& model : reply.value("models", Reply::array())) {
    const bool loaded = number_in(model, "weight_bytes") > 0;
    const bool shared = loaded && !in_memory.insert(model.value("path", "")).second;
    any_shared = any_shared || shared;
    rows.push_back({printable_line(model.value("name", ""), 60), state_of(model),
                    memory_text(model, shared), std::to_string(model.value("running", 0)),
                    std::to_string(model.value("waiting", 0)),
                    loaded ? seconds_text(model.value("idle_seconds", 0.0)) : "-"});
  }
  if (rows.size() == 1) {
    print("no models yet: the daemon loads one with its first request\n");
    return kExitOk;
  }
  print(table(rows, "llrrrr"));
  const Reply node = reply.value("node", Reply::object());
  print("in memory: " + bytes_text(number_in(node, "memory_bytes_promised")) + " of " +
        bytes_text(number_in(node, "memory_bytes_max")) +
        (any_shared ? "; +: shares the weights of the same file above\n" : "\n"));
  return kExitOk;
}

Result<int> change(const DaemonOptions& options, const std::string& action) {
  if (options.model.empty())
    return usage_error("the name of the model is empty; `choir ps` lists the models");
  const Reply reply =
      CHOIR_TRY(ask(options, "POST", "/choir/v1/models/" + escaped(options.model) + "/" + action));
  print(reply.value("name", options.model) + " is " + reply.value("state", "") + "\n");
  return kExitOk;
}

Result<int> stop(const DaemonOptions& options) {
  CHOIR_TRY(ask(options, "POST", "/choir/v1/stop"));
  print("the daemon ends; work in flight is finished first\n");
  return kExitOk;
}

using Do = Result<int> (*)(const DaemonOptions&);

void add_one(CLI::App& root, Run& chosen, const std::string& name, const std::string& what,
             const std::string& examples, bool of_model, Do work) {
  auto options = std::make_shared<DaemonOptions>();
  CLI::App* command = add_command(root, name, what, examples);
  if (of_model) add_value(*command, "MODEL", options->model, "", "Its name")->required();
  add_which_daemon(*command, options->daemon);
  if (name == "ps") add_json(*command, options->json);
  command->callback(
      [options, work, &chosen] { chosen = [options, work] { return work(*options); }; });
}

}  // namespace

void add_daemon(CLI::App& root, Run& chosen) {
  add_one(root, chosen, "ps", "List the models of a running daemon",
          "  choir ps\n  choir ps --host http://192.168.0.5:8411", false, ps);
  add_one(root, chosen, "load", "Let a running daemon load a model now",
          "  choir load smollm2-135m", true,
          [](const DaemonOptions& options) { return change(options, "load"); });
  add_one(root, chosen, "unload", "Let a running daemon give a model's memory back",
          "  choir unload smollm2-135m", true,
          [](const DaemonOptions& options) { return change(options, "unload"); });
  add_one(root, chosen, "stop", "End a running daemon; it finishes its work first",
          "  choir stop --port 8500", false, stop);
}

}  // namespace choir::app
