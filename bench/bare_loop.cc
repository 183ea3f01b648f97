// An HTTP server that reads no request: each thread answers each read on its connections with the
// same text of a given size. No server with as many threads answers faster on this machine, so its
// rate is what the rates of `./dev bench serving` (wrk) can be at most.
//
//   ./dev bench bare_loop BYTES [THREADS]     prints its address; ends with its input
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/fd.h"

namespace choir::bench {
namespace {

constexpr std::size_t kReadMax = 4096;

// On `port`, which is chosen where it is 0. Several threads listen on one: connections are shared
// out among them.
Fd listening_socket(std::uint16_t& port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
  const int on = 1;
  CHOIR_CHECK(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0,
              "a port may be shared");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
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
  // end: is readable when the loop shall end.
  Loop(std::size_t bytes, std::uint16_t& port, int end)
      : door_(listening_socket(port)),
        end_(end),
        reply_("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " +
               std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, ' ')) {}

  // Until the end. False: that is a file, which cannot be waited for.
  bool run() {
    if (!watch(end_)) return false;
    CHOIR_CHECK(watch(door_.get()), "a socket is watched");
    for (std::array<epoll_event, 64> events{};;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
      for (const epoll_event& event :
           std::span(events).first(static_cast<std::size_t>(std::max(count, 0)))) {
        if (event.data.fd == end_) return true;
        if (event.data.fd == door_.get())
          take_in(door_.get());
        else
          answer(event.data.fd);
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

  const Fd door_;
  const int end_;
  const std::string reply_;
  const Fd epoll_{::epoll_create1(0)};
  std::map<int, Fd> clients_;
  std::array<char, kReadMax> read_{};
};

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  const auto number = [&](std::size_t at, unsigned long most) -> std::optional<unsigned long> {
    char* end = nullptr;
    const unsigned long value = std::strtoul(arguments[at], &end, 10);
    if (end == arguments[at] || *end != '\0' || value > most) return std::nullopt;
    return value;
  };
  const auto bytes = argc > 1 ? number(1, 1U << 20U) : std::nullopt;
  const auto threads = argc > 2 ? number(2, 64) : 1UL;
  if (argc > 3 || !bytes || !threads || *threads == 0) {
    std::fprintf(
        stderr,
        "usage: bench_bare_loop BYTES [THREADS]    (of a reply's body, at most 1048576; at "
        "most 64 threads)\n");
    return 2;
  }
  std::uint16_t port = 0;
  std::vector<std::unique_ptr<choir::bench::Loop>> loops;
  for (unsigned long i = 0; i < *threads; ++i)
    loops.push_back(std::make_unique<choir::bench::Loop>(*bytes, port, STDIN_FILENO));
  std::printf("http://127.0.0.1:%d\n", port);
  std::fflush(stdout);
  std::atomic<bool> well{true};
  std::vector<std::thread> running;
  for (const auto& loop : loops)
    running.emplace_back([&] {
      if (!loop->run()) well.store(false);
    });
  for (std::thread& one : running) one.join();
  if (well.load()) return 0;
  std::fprintf(stderr, "bench_bare_loop: the input is a file; it must be a terminal or a pipe\n");
  return 2;
}
