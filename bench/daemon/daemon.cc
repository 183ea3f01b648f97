#include "bench/daemon/daemon.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/check.h"

namespace choir::bench {

Daemon::Daemon(const std::vector<std::string>& arguments) {
  const char* choir = std::getenv("CHOIR_BIN");
  CHOIR_CHECK(choir != nullptr, "CHOIR_BIN names the program");
  std::vector<std::string> words = {choir, "serve", "--port", "0", "--bind", "127.0.0.1"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  int out[2];
  CHOIR_CHECK(pipe(out) == 0, "a pipe can be had");
  process_ = fork();
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(out[1], STDOUT_FILENO);
    close(out[0]);
    close(out[1]);
    execv(choir, pointers.data());
    _exit(127);
  }
  close(out[1]);
  std::FILE* lines = fdopen(out[0], "r");
  unsigned port = 0;
  CHOIR_CHECK(std::fscanf(lines, "Choir serves on http://127.0.0.1:%u", &port) == 1,
              "the daemon says where it is");
  std::fclose(lines);
  port_ = static_cast<std::uint16_t>(port);
}

Daemon::~Daemon() {
  kill(process_, SIGTERM);
  waitpid(process_, nullptr, 0);
}

int Daemon::connect() const {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHOIR_CHECK(socket >= 0, "a socket can be had");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHOIR_CHECK(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
              "the daemon listens");
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

std::uint64_t Daemon::resident_bytes() const {
  std::ifstream file("/proc/" + std::to_string(process_) + "/statm");
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void Daemon::stop() const { CHOIR_CHECK(kill(process_, SIGSTOP) == 0, "the daemon is there"); }

void Daemon::go_on() const { CHOIR_CHECK(kill(process_, SIGCONT) == 0, "the daemon is there"); }

int connect_to_path(const std::string& unix_socket) {
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  CHOIR_CHECK(unix_socket.size() < sizeof address.sun_path, "the path of a socket is short");
  std::memcpy(address.sun_path, unix_socket.data(), unix_socket.size());
  CHOIR_CHECK(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
              "the daemon listens on its unix socket");
  return socket;
}

void send_all(int socket, std::string_view bytes) {
  CHOIR_CHECK(
      send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()),
      "a small request is sent at once");
}

void read_streams(const std::vector<int>& sockets) {
  std::vector<pollfd> all;
  for (const int socket : sockets) all.push_back({.fd = socket, .events = POLLIN, .revents = 0});
  std::vector<std::string> tails(all.size());
  for (std::size_t open = all.size(); open > 0;) {
    poll(all.data(), all.size(), -1);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].fd < 0 || all[i].revents == 0) continue;
      char bytes[16384];
      const ssize_t count = recv(all[i].fd, bytes, sizeof bytes, 0);
      CHOIR_CHECK(count > 0, "the stream goes on to its end");
      tails[i].append(bytes, static_cast<std::size_t>(count));
      if (tails[i].size() > 64) tails[i].erase(0, tails[i].size() - 64);
      if (tails[i].find("[DONE]") == std::string::npos) continue;
      close(all[i].fd);
      all[i].fd = -1;
      --open;
    }
  }
}

std::string post(std::string_view path, std::string_view body) {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

std::string get(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
}

}  // namespace choir::bench
