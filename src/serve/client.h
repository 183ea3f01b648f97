// How the program `choir` talks to a daemon on this machine.
//
// Any thread may call; ask() blocks.
#pragma once

#include <cstdint>
#include <string>

#include "choir/result.h"

namespace choir::serve {

// Where a daemon on this port has its unix socket when it is told nothing else:
// choir-PORT.sock in XDG_RUNTIME_DIR, or in the cache folder where that is not set or CHOIR_CACHE
// is. Empty: there is no such folder.
std::string default_socket(std::uint16_t port);

struct ClientReply {
  int status = 0;
  std::string body;
};

// One request over a unix socket, until the reply is complete. kNotFound: no daemon answers there.
Result<ClientReply> ask(const std::string& socket, const std::string& method,
                        const std::string& path, const std::string& body = {});

}  // namespace choir::serve
