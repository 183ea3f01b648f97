// choir dashboard: a link to the dashboard of a running daemon, which works once.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "command.h"
#include "exit_code.h"
#include "serve/client.h"
#include "terminal.h"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace choir::app {
namespace {

struct DashboardOptions {
  std::uint16_t port = 8411;
  std::string unix_socket;
  bool no_open = false;
};

bool has_display() {
  for (const char* name : {"DISPLAY", "WAYLAND_DISPLAY"})
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return true;
  return false;
}

bool write_all(int file, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(file, text.data() + done, text.size() - done);
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

// A page beside the socket, for its owner only, which leads to the link: in the arguments of a
// browser every user of the machine could read the link. Empty: it cannot be written.
std::string page_that_leads_to(const std::string& url, const std::string& socket) {
  const std::string path =
      (std::filesystem::path(socket).parent_path() / "choir-dashboard.html").string();
  ::unlink(path.c_str());
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return {};
  const bool written = write_all(
      file,
      "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">"
      "<meta http-equiv=\"refresh\" content=\"0;url=" +
          url + "\"><title>Choir</title><a href=\"" + url + "\">Choir</a>\n");
  ::close(file);
  return written ? path : std::string();
}

// Whether a program that opens pages has taken it.
bool open_in_browser(const std::string& page) {
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0);
  std::string program = "xdg-open";
  std::string argument = page;
  const std::array<char*, 3> arguments = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  const int failed =
      posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  return failed == 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

Result<int> run(const DashboardOptions& options) {
  const std::string socket =
      options.unix_socket.empty() ? serve::default_socket(options.port) : options.unix_socket;
  const serve::ClientReply reply = CHOIR_TRY(serve::ask(socket, "POST", "/choir/v1/session/link"));
  const auto json = nlohmann::json::parse(reply.body, nullptr, false);
  if (!json.is_object())
    return fail(Code::kUnavailable, "what answers at '" + socket + "' is no daemon of Choir");
  if (reply.status != 200)
    return fail(Code::kUnavailable, json.value("/error/message"_json_pointer, reply.body));
  const auto url = json.value("url", nlohmann::json());
  if (!url.is_string())
    return fail(Code::kUnavailable, "the daemon listens on no address that a browser reaches");
  print(url.get<std::string>() + "\n");
  const bool opened = !options.no_open && has_display() && [&] {
    const std::string page = page_that_leads_to(url.get<std::string>(), socket);
    return !page.empty() && open_in_browser(page);
  }();
  note(opened
           ? "It is opened in your browser.\n"
           : "Open it in a browser within " + std::to_string(json.value("expires_in_seconds", 0)) +
                 " seconds; it works once.\n");
  return kExitOk;
}

}  // namespace

void add_dashboard(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<DashboardOptions>();
  CLI::App* command = add_command(root, "dashboard", "Open the dashboard of a running daemon",
                                  "  choir dashboard\n"
                                  "  choir dashboard --port 8500 --no-open");
  add_value(*command, "--port", options->port, "N", "Of the daemon");
  add_value(*command, "--unix-socket", options->unix_socket, "PATH",
            "Of the daemon, if it has another one than its port says");
  command->add_flag("--no-open", options->no_open, "Only print the link, and open no browser");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace choir::app
