#include "serve/server.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "serve/connection.h"
#include "serve/wakes.h"

namespace choir::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

constexpr std::size_t kScratchBytes = 64U << 10U;
constexpr std::size_t kDescriptorsKept = 256;  // for models, stores and logs
constexpr std::chrono::seconds kSweep{1};
constexpr std::chrono::milliseconds kAcceptAgain{100};  // after an error, such as no descriptors

std::size_t connections_possible() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return SIZE_MAX;
  return limit.rlim_cur > 2 * kDescriptorsKept ? limit.rlim_cur - kDescriptorsKept
                                               : limit.rlim_cur / 2;
}

// A process may raise its soft limit up to the hard one.
void raise_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
}

}  // namespace

class Server::Inside final : public ConnectionHost {
 public:
  Inside(const ServerConfig& config, const Router& router)
      : config_(config),
        router_(router),
        connections_max_(std::min(config.connections_max, connections_possible())) {}
  ~Inside() override {
    wakes_->close();
    for (auto& [key, connection] : std::exchange(connections_, {})) connection->close();
  }

  Status listen();
  std::vector<std::string> addresses() const;
  void run();
  void drain(std::function<void()> idle);
  void close_all();

  // ConnectionHost
  std::variant<const Route*, Refusal> route(HttpRequest& head) override {
    return router_.find(head);
  }
  std::string refusal_body(const Refusal& refusal) override {
    return nlohmann::json{
        {"error",
         {{"message", refusal.message},
          {"type", refusal.status < 500 ? "invalid_request_error" : "server_error"},
          {"param", nullptr},
          {"code", refusal.status}}}}
        .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  Wake wake_of(std::uint64_t key) override { return wakes_->wake_of(key); }
  Instant now() override { return clock_.now(); }
  bool draining() const override { return draining_; }
  bool reserve_body(std::size_t bytes) override {
    if (bodies_ + bytes > config_.body_bytes_max) return false;
    bodies_ += bytes;
    return true;
  }
  void release_body(std::size_t bytes) override { bodies_ -= bytes; }
  void ended(std::uint64_t key) override {
    connections_.erase(key);
    count_.store(connections_.size());
    tell_when_idle();
  }
  std::span<char> scratch() override { return scratch_; }

  asio::io_context io_{1};
  std::atomic<std::size_t> count_{0};

 private:
  struct Listener {
    std::optional<tcp::acceptor> on_port;
    std::optional<Local::acceptor> on_path;
    std::unique_ptr<asio::steady_timer> again;
  };
  Status listen_on(const std::string& host);
  Status listen_on_unix();
  template <class Acceptor>
  void accept(Acceptor& acceptor, asio::steady_timer& again, bool over_unix_socket);
  void take_in(Connection::Socket socket, bool over_unix_socket);
  void sweep();
  void tell_when_idle();
  void serve_wakes();

  const ServerConfig config_;
  const Router& router_;
  const std::size_t connections_max_;
  const SteadyClock clock_;
  std::array<char, kScratchBytes> scratch_{};
  std::vector<Listener> listeners_;
  std::uint16_t port_ = 0;  // the one in use
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::uint64_t next_key_ = 1;
  std::size_t bodies_ = 0;
  bool draining_ = false;
  std::function<void()> idle_;
  asio::steady_timer sweep_{io_};
  const std::shared_ptr<Wakes> wakes_ =
      std::make_shared<Wakes>([this] { asio::post(io_, [this] { serve_wakes(); }); });
};

// ---- listening
// -----------------------------------------------------------------------------------

Status Server::Inside::listen() {
  raise_descriptors();
  port_ = config_.port;
  std::optional<Error> first;
  for (const std::string& host : config_.hosts) {
    Status listening = listen_on(host);
    if (listening) continue;
    const bool no_such_family = listening.error().code == Code::kNotFound;
    if (!no_such_family) return listening;
    if (!first) first = std::move(listening).error();
  }
  if (listeners_.empty() && first && config_.unix_socket.empty())
    return fail(Code::kUnavailable, first->message);
  if (!config_.unix_socket.empty()) return listen_on_unix();
  return {};
}

Status Server::Inside::listen_on(const std::string& host) {
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error)
    return fail(Code::kInvalidArgument,
                "'" + host + "' is no address: --bind takes one such as 127.0.0.1 or ::1");
  const auto where = [&] { return host + " port " + std::to_string(port_); };
  Listener listener;
  listener.on_port.emplace(io_);
  listener.again = std::make_unique<asio::steady_timer>(io_);
  tcp::acceptor& acceptor = *listener.on_port;
  acceptor.open(address.is_v6() ? tcp::v6() : tcp::v4(), error);
  if (error) return fail(Code::kNotFound, "cannot listen on " + where() + ": " + error.message());
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (address.is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  acceptor.bind({address, port_}, error);
  if (error == boost::system::errc::address_not_available && address.is_loopback())
    return fail(Code::kNotFound, "cannot listen on " + where() + ": " + error.message());
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    const bool in_use = error == asio::error::address_in_use;
    return fail(Code::kUnavailable,
                "cannot listen on " + where() + ": " + error.message() +
                    (in_use ? "; another program has it, --port takes another one" : ""));
  }
  port_ = acceptor.local_endpoint().port();
  listeners_.push_back(std::move(listener));
  return {};
}

Status Server::Inside::listen_on_unix() {
  const std::string& path = config_.unix_socket;
  const auto failed = [&](const std::string& why) {
    return fail(Code::kUnavailable, "cannot listen on the unix socket '" + path + "': " + why);
  };
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return failed("the path has " + std::to_string(path.size()) + " bytes, at most " +
                  std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " are allowed");
  error_code error;
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) return failed("a file of that name is there");
    Local::socket probe(io_);
    probe.connect(Local::endpoint(path), error);
    if (!error) return failed("another daemon answers there");
    ::unlink(path.c_str());
  }
  Listener listener;
  listener.on_path.emplace(io_);
  listener.again = std::make_unique<asio::steady_timer>(io_);
  listener.on_path->open(Local(), error);
  // Nobody else may connect, not even before the mode is set.
  const mode_t before = ::umask(0177);
  if (!error) listener.on_path->bind(Local::endpoint(path), error);
  ::umask(before);
  if (!error) listener.on_path->listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed(error.message());
  listeners_.push_back(std::move(listener));
  return {};
}

std::vector<std::string> Server::Inside::addresses() const {
  std::vector<std::string> all;
  for (const Listener& listener : listeners_) {
    if (!listener.on_port) continue;
    error_code ignored;
    const auto address = listener.on_port->local_endpoint(ignored).address();
    all.push_back("http://" +
                  (address.is_v6() ? "[" + address.to_string() + "]" : address.to_string()) + ":" +
                  std::to_string(port_));
  }
  if (!config_.unix_socket.empty()) all.push_back("unix:" + config_.unix_socket);
  return all;
}

template <class Acceptor>
void Server::Inside::accept(Acceptor& acceptor, asio::steady_timer& again, bool over_unix_socket) {
  acceptor.async_accept([this, &acceptor, &again, over_unix_socket](error_code error, auto socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      take_in(Connection::Socket(std::move(socket)), over_unix_socket);
      accept(acceptor, again, over_unix_socket);
      return;
    }
    log(LogLevel::kWarn, "a connection cannot be accepted: " + error.message());
    again.expires_after(kAcceptAgain);
    again.async_wait([this, &acceptor, &again, over_unix_socket](error_code stopped) {
      if (!stopped) accept(acceptor, again, over_unix_socket);
    });
  });
}

// ---- connections
// ---------------------------------------------------------------------------------

void Server::Inside::take_in(Connection::Socket socket, bool over_unix_socket) {
  if (connections_.size() >= connections_max_) {
    static constexpr std::string_view kFull =
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n"
        "connection: close\r\n\r\n";
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kFull), ignored);
    return;
  }
  error_code ignored;
  if (!over_unix_socket) socket.set_option(tcp::no_delay(true), ignored);
  const std::uint64_t key = next_key_++;
  const auto connection =
      std::make_shared<Connection>(std::move(socket), over_unix_socket, key, *this);
  connections_.emplace(key, connection);
  count_.store(connections_.size());
  connection->begin();
}

void Server::Inside::serve_wakes() {
  for (const std::uint64_t key : wakes_->take()) {
    const auto found = connections_.find(key);
    if (found == connections_.end()) continue;
    const std::shared_ptr<Connection> connection = found->second;
    connection->woken();
  }
}

void Server::Inside::sweep() {
  sweep_.expires_after(kSweep);
  sweep_.async_wait([this](error_code stopped) {
    if (stopped) return;
    std::vector<std::shared_ptr<Connection>> all;
    all.reserve(connections_.size());
    for (const auto& [key, connection] : connections_) all.push_back(connection);
    for (const auto& connection : all) connection->look_at_time(config_.timeouts);
    sweep();
  });
}

// ---- running and ending
// --------------------------------------------------------------------------

void Server::Inside::run() {
  for (Listener& listener : listeners_) {
    if (listener.on_port) accept(*listener.on_port, *listener.again, false);
    if (listener.on_path) accept(*listener.on_path, *listener.again, true);
  }
  sweep();
  io_.run();
}

void Server::Inside::drain(std::function<void()> idle) {
  draining_ = true;
  idle_ = std::move(idle);
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [key, connection] : connections_) all.push_back(connection);
  for (const auto& connection : all) connection->end_when_idle();
  tell_when_idle();
}

void Server::Inside::tell_when_idle() {
  if (!draining_ || !connections_.empty() || !idle_) return;
  asio::post(io_, std::exchange(idle_, nullptr));
}

void Server::Inside::close_all() {
  error_code ignored;
  for (Listener& listener : listeners_) {
    if (listener.on_port) listener.on_port->close(ignored);
    if (listener.on_path) listener.on_path->close(ignored);
  }
  if (!config_.unix_socket.empty()) ::unlink(config_.unix_socket.c_str());
  for (auto& [key, connection] : std::exchange(connections_, {})) connection->close();
  io_.stop();
}

// ---- the outside
// ---------------------------------------------------------------------------------

Server::Server(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::create(const ServerConfig& config, const Router& router) {
  auto inside = std::make_unique<Inside>(config, router);
  CHOIR_CHECK_OK(inside->listen());
  return std::unique_ptr<Server>(new Server(std::move(inside)));
}

std::vector<std::string> Server::addresses() const { return inside_->addresses(); }
void Server::run() { inside_->run(); }
std::size_t Server::connections() const { return inside_->count_.load(); }

void Server::drain(std::function<void()> idle) {
  asio::post(inside_->io_, [this, idle = std::move(idle)] { inside_->drain(idle); });
}
void Server::stop() {
  asio::post(inside_->io_, [this] { inside_->close_all(); });
}

void Server::on_signal(std::function<void()> handle) {
  struct Waiting {
    Waiting(asio::io_context& io, std::function<void()> what)
        : set(io, SIGTERM, SIGINT), handle(std::move(what)) {}
    asio::signal_set set;
    std::function<void()> handle;
    void wait(const std::shared_ptr<Waiting>& self) {
      set.async_wait([self](error_code stopped, int /*signal*/) {
        if (stopped) return;
        self->handle();
        self->wait(self);
      });
    }
  };
  const auto waiting = std::make_shared<Waiting>(inside_->io_, std::move(handle));
  waiting->wait(waiting);
}

void Server::after(Nanos time, std::function<void()> work) {
  const auto timer = std::make_shared<asio::steady_timer>(inside_->io_, time);
  timer->async_wait([timer, work = std::move(work)](error_code stopped) {
    if (!stopped) work();
  });
}

}  // namespace choir::serve
