// An HTTP server that reads no request: one thread answers each read with the same text of a given
// size. No server with one thread answers faster on this machine, so its rate is what the rates of
// `./dev bench serving` (wrk) can be at most.
//
//   ./dev bench bare_loop BYTES     prints its port on the loopback; ends when its input ends
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <span>
#include <string>

#include "base/check.h"
#include "base/fd.h"

namespace choir::bench {
namespace {

constexpr std::size_t kReadMax = 4096;

Fd listening_socket(std::uint16_t& port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  CHOIR_CHECK(::bind(socket.get(), any, size) == 0, "a port of the loopback");
  CHOIR_CHECK(::listen(socket.get(), SOMAXCONN) == 0, "a socket listens");
  CHOIR_CHECK(::getsockname(socket.get(), any, &size) == 0, "a socket has a port");
  port = ntohs(address.sin_port);
  return socket;
}

class Loop {
 public:
  explicit Loop(std::size_t bytes)
      : reply_("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
               std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, ' ')) {}

  // Until the input ends. False: it is a file, whose end cannot be waited for.
  bool run() {
    std::uint16_t port = 0;
    const Fd door = listening_socket(port);
    if (!watch(STDIN_FILENO)) return false;
    CHOIR_CHECK(watch(door.get()), "a socket is watched");
    std::printf("http://127.0.0.1:%d\n", port);
    std::fflush(stdout);
    for (std::array<epoll_event, 64> events{};;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
      for (const epoll_event& event :
           std::span(events).first(static_cast<std::size_t>(std::max(count, 0)))) {
        if (event.data.fd == STDIN_FILENO) {
          if (::read(STDIN_FILENO, read_.data(), read_.size()) <= 0) return true;
        } else if (event.data.fd == door.get()) {
          take_in(door.get());
        } else {
          answer(event.data.fd);
        }
      }
    }
  }

 private:
  bool watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }
  void take_in(int door) {
    Fd client(::accept4(door, nullptr, nullptr, SOCK_NONBLOCK));
    if (!client || !watch(client.get())) return;
    const int on = 1;
    static_cast<void>(::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
    clients_[client.get()] = std::move(client);
  }
  void answer(int client) {
    const bool came = ::recv(client, read_.data(), read_.size(), 0) > 0;
    if (!came || ::send(client, reply_.data(), reply_.size(), MSG_NOSIGNAL) < 0)
      clients_.erase(client);
  }

  const std::string reply_;
  const Fd epoll_{::epoll_create1(0)};
  std::map<int, Fd> clients_;
  std::array<char, kReadMax> read_{};
};

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  char* end = nullptr;
  const unsigned long bytes = argc == 2 ? std::strtoul(arguments[1], &end, 10) : 0;
  if (argc != 2 || *end != '\0' || bytes > (1U << 20U)) {
    std::fprintf(stderr, "usage: bench_bare_loop BYTES    (of a reply's body, at most 1048576)\n");
    return 2;
  }
  if (choir::bench::Loop(bytes).run()) return 0;
  std::fprintf(stderr, "bench_bare_loop: the input is a file; it must be a terminal or a pipe\n");
  return 2;
}
