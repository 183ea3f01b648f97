// Which daemon a command is for that needs one: on this machine by its port or unix socket, or
// anywhere by its address.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "serve/client.h"

namespace choir::app {

struct WhichDaemon {
  std::uint16_t port = 8411;
  std::string unix_socket;
  std::string host;  // not together with the others
};

// --port, --unix-socket and --host.
void add_which_daemon(CLI::App& command, WhichDaemon& which);

// kInvalidArgument: --host is no address. Does not connect.
Result<serve::DaemonAddress> address_of(const WhichDaemon& which);

}  // namespace choir::app
