// llama-server as a peer: built from Choir's own engine source, as a process of its own on a free
// port of loopback.
#pragma once

#include <cstdint>
#include <string>

#include "base/child.h"

namespace choir::bench {

class LlamaServer {
 public:
  // Builds the program where it is not there yet (minutes, once) and starts it with this model.
  // Returns when it answers.
  LlamaServer(const std::string& model, const std::string& folder);

  // A blocking socket that waits this long for each read and write; the caller closes it. -1: there
  // is none to be had within this time.
  int connect(int seconds) const;
  // Whether it answers GET /health on a connection of its own within these seconds.
  bool answers(int seconds) const;

 private:
  std::uint16_t port_;
  Child process_;
};

}  // namespace choir::bench
