// The sockets on which a server takes connections.
//
// All on the loop thread, and before it runs.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "choir/result.h"

namespace choir::serve {

struct Endpoints {
  std::vector<std::string> hosts = {"127.0.0.1", "::1"};  // addresses to listen on
  std::uint16_t port = 8411;                              // 0: any free one
  std::optional<std::string> unix_socket;  // its path; empty: none; not set: default_socket()
};

class Listeners {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using Take = std::function<void(Socket, bool over_unix_socket)>;

  // `io` outlives this object. `take` gets each connection.
  Listeners(boost::asio::io_context& io, Take take) : io_(io), take_(std::move(take)) {}
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // As Server::create().
  Status open(const Endpoints& endpoints);
  // "http://127.0.0.1:8411", "unix:/run/user/1000/choir-8411.sock", and so on.
  std::vector<std::string> addresses() const;
  // From now on connections are taken.
  void accept();
  // No more connections; the unix socket is gone.
  void close();

 private:
  using Tcp = boost::asio::ip::tcp;
  using Local = boost::asio::local::stream_protocol;
  struct Listener {
    std::optional<Tcp::acceptor> on_port;
    std::optional<Local::acceptor> on_path;
    std::unique_ptr<boost::asio::steady_timer> again;
  };
  Status listen_on(const std::string& host);
  Status listen_on_path();
  template <class Acceptor>
  void accept_on(Acceptor& acceptor, boost::asio::steady_timer& again, bool over_unix_socket);

  boost::asio::io_context& io_;
  const Take take_;
  std::vector<Listener> all_;
  std::uint16_t port_ = 0;  // the one in use
  std::string path_;
};

}  // namespace choir::serve
