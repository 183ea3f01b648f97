// `choir serve` as a process of its own, and raw sockets to it: what the benchmarks of HTTP share.
// Loopback only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace choir::bench {

class Daemon {
 public:
  // Starts the program CHOIR_BIN with `serve` and these arguments, on a free port. Before any
  // thread: it forks.
  explicit Daemon(const std::vector<std::string>& arguments);
  // Ends it with SIGTERM and waits for it. If this process ends without it, the daemon ends, too.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  int connect() const;  // a blocking socket; the caller closes it
  // Bytes of memory of the process that are resident now.
  std::uint64_t resident_bytes() const;
  // Stops all of its threads, and lets them go on.
  void stop() const;
  void go_on() const;

 private:
  pid_t process_ = 0;
  std::uint16_t port_ = 0;
};

int connect_to_path(const std::string& unix_socket);
void send_all(int socket, std::string_view bytes);
// Reads streams of events as fast as they come, each to its [DONE], and closes the sockets.
void read_streams(const std::vector<int>& sockets);
// A request with a JSON body, as bytes.
std::string post(std::string_view path, std::string_view body);
std::string get(std::string_view path);

}  // namespace choir::bench
