#include "bench/daemon/llama_server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>

#include "base/check.h"
#include "bench/daemon/daemon.h"

namespace choir::bench {
namespace {

constexpr int kReadyTries = 600;
constexpr std::chrono::milliseconds kReadyEvery{500};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  CHOIR_CHECK(bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0,
              "a port is free");
  close(socket);
  return ntohs(address.sin_port);
}

std::string program() {
  const char* repo = std::getenv("CHOIR_REPO");
  CHOIR_CHECK(repo != nullptr, "CHOIR_REPO names the repository");
  const std::string command = std::string("'") + repo + "/tools/engine' peer";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(popen(command.c_str(), "r"), pclose);
  char line[4096];
  CHOIR_CHECK(out && std::fgets(line, sizeof line, out.get()) != nullptr,
              "`tools/engine peer` says where llama-server is");
  std::string_view folder = line;
  if (folder.ends_with('\n')) folder.remove_suffix(1);
  return std::string(folder) + "/llama-server";
}

Child started(const std::string& model, const std::string& folder, std::uint16_t port) {
  auto child = Child::start({.argv = {program(), "--host", "127.0.0.1", "--port",
                                      std::to_string(port), "-m", model, "-c", "4096"},
                             .folder = folder,
                             .environment = {},
                             .log_path = folder + "/llama-server.log"});
  if (!child) {
    std::fprintf(stderr, "%s\n", child.error().message.c_str());
    std::exit(1);
  }
  return std::move(*child);
}

}  // namespace

LlamaServer::LlamaServer(const std::string& model, const std::string& folder)
    : port_(free_port()), process_(started(model, folder, port_)) {
  for (int i = 0; i < kReadyTries; ++i) {
    if (answers(1)) return;
    CHOIR_CHECK(!process_.ended(), "llama-server goes on");
    std::this_thread::sleep_for(kReadyEvery);
  }
  CHOIR_CHECK(false, "llama-server is ready within five minutes");
}

int LlamaServer::connect(int seconds) const {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHOIR_CHECK(socket >= 0, "a socket can be had");
  const timeval patience{.tv_sec = seconds, .tv_usec = 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const sockaddr_in address = loopback(port_);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return socket;
  close(socket);
  return -1;
}

bool LlamaServer::answers(int seconds) const {
  const int socket = connect(seconds);
  if (socket < 0) return false;
  const std::string request = get("/health");
  send(socket, request.data(), request.size(), MSG_NOSIGNAL);
  char bytes[64];
  const ssize_t count = recv(socket, bytes, sizeof bytes, 0);
  close(socket);
  return count > 0 && std::string_view(bytes, static_cast<std::size_t>(count)).find(" 200 ") !=
                          std::string_view::npos;
}

}  // namespace choir::bench
