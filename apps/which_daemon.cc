#include "which_daemon.h"

#include "options.h"

namespace choir::app {

void add_which_daemon(CLI::App& command, WhichDaemon& which) {
  CLI::Option* port = add_value(command, "--port", which.port, "N", "Of the daemon");
  CLI::Option* socket = add_value(command, "--unix-socket", which.unix_socket, "PATH",
                                  "Of the daemon, if it has another one than its port says");
  add_value(command, "--host", which.host, "HOST",
            "Of the daemon: http://HOST:PORT or a unix socket; CHOIR_API_KEY has the key")
      ->excludes(port)
      ->excludes(socket);
}

Result<serve::DaemonAddress> address_of(const WhichDaemon& which) {
  if (!which.host.empty()) return serve::daemon_address(which.host);
  return serve::DaemonAddress{
      .url = "http://localhost",
      .socket = which.unix_socket.empty() ? serve::default_socket(which.port) : which.unix_socket};
}

}  // namespace choir::app
