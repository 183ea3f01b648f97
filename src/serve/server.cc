#include "serve/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "base/caught.h"
#include "base/clock.h"
#include "base/log.h"
#include "serve/api_error.h"
#include "serve/connection.h"
#include "serve/listeners.h"
#include "serve/reply_text.h"
#include "serve/wakes.h"

namespace choir::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kScratchBytes = 64U << 10U;
constexpr std::size_t kDescriptorsKept = 256;  // for models, stores and logs
constexpr std::chrono::seconds kSweep{1};

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

// Calls its handler for each signal of its set.
struct SignalWait {
  SignalWait(asio::io_context& io, std::function<void()> what) : set(io), handle(std::move(what)) {}
  asio::signal_set set;
  std::function<void()> handle;
  void wait(const std::shared_ptr<SignalWait>& self) {
    set.async_wait([self](error_code stopped, int /*signal*/) {
      if (stopped) return;
      self->handle();
      self->wait(self);
    });
  }
};

// Of a client of TCP. Never empty, which would stand for the unix socket and its rights.
std::string address_of(const Connection::Socket& socket) {
  error_code error;
  const auto remote = socket.remote_endpoint(error);
  tcp::endpoint endpoint;
  if (error || remote.size() > endpoint.capacity()) return "unknown";
  std::memcpy(endpoint.data(), remote.data(), remote.size());
  endpoint.resize(remote.size());
  return endpoint.address().to_string();
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

  Status listen() {
    raise_descriptors();
    return listeners_.open(config_.endpoints);
  }
  std::vector<std::string> addresses() const { return listeners_.addresses(); }
  void run();
  void drain(std::function<void()> idle);
  void close_all();
  // Returns those that were cut short.
  std::vector<std::weak_ptr<Connection>> cut_short(
      const Refusal& why, const std::function<bool(const Connection&)>& which);

  // ConnectionHost
  std::variant<const Route*, Refusal> route(std::uint64_t key, HttpRequest& head) override;
  std::string refusal_body(const Refusal& refusal) override {
    return to_text(openai_error(api_error(refusal)));
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
  void exchanged(std::uint64_t key, Exchange exchange) override {
    accounts_.end_request(key);
    config_.on_exchange(std::move(exchange));
  }
  void ended(std::uint64_t key) override {
    accounts_.end_connection(key);
    connections_.erase(key);
    count.store(connections_.size());
    tell_when_idle();
  }
  void replied(int status) override { config_.on_reply(status); }
  std::span<char> scratch() override { return scratch_; }

  asio::io_context io{1};
  std::atomic<std::size_t> count{0};

 private:
  void take_in(Connection::Socket socket, bool over_unix_socket);
  void sweep();
  void tell_when_idle();
  void serve_wakes();

  const ServerConfig config_;
  const Router& router_;
  const std::size_t connections_max_;
  const SteadyClock clock_;
  std::array<char, kScratchBytes> scratch_{};
  Listeners listeners_{io, [this](Connection::Socket socket, bool over_unix_socket) {
                         take_in(std::move(socket), over_unix_socket);
                       }};
  Accounts accounts_{config_.accounts};
  WrongKeys wrong_keys_{config_.wrong_keys};
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::uint64_t next_key_ = 1;
  std::size_t bodies_ = 0;
  bool draining_ = false;
  std::function<void()> idle_;
  asio::steady_timer sweep_{io};
  const std::shared_ptr<Wakes> wakes_ =
      std::make_shared<Wakes>([this] { asio::post(io, [this] { serve_wakes(); }); });
};

// ---- connections --------------------------------------------------------------------------------

void Server::Inside::take_in(Connection::Socket socket, bool over_unix_socket) {
  if (connections_.size() >= connections_max_) {
    ReplyHead full{.status = 503, .headers = retry_in_a_second()};
    name_exchange(full, exchange_of({}, ""));
    const std::string text = head_text(full, {.keep_alive = false});
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(text), ignored);
    return;
  }
  error_code ignored;
  if (!over_unix_socket) socket.set_option(tcp::no_delay(true), ignored);
  const std::uint64_t key = next_key_++;
  const std::string address = over_unix_socket ? "" : address_of(socket);
  const auto connection = std::make_shared<Connection>(std::move(socket), address, key, *this);
  connections_.emplace(key, connection);
  count.store(connections_.size());
  connection->begin();
}

std::variant<const Route*, Refusal> Server::Inside::route(std::uint64_t key, HttpRequest& head) {
  auto found = router_.find(head);
  if (const auto* refusal = std::get_if<Refusal>(&found)) {
    if (!refusal->wrong_key || wrong_keys_.may_fail(network_of(head.address), now())) return found;
    return Refusal{429, "too many wrong keys come from " + head.address, retry_in_a_second()};
  }
  const bool infers = (std::get<const Route*>(found)->scopes & kInfer) != 0;
  if (auto refusal = accounts_.begin(key, head.client, infers)) return *std::move(refusal);
  config_.on_begin(head);
  return found;
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
    sweep();
    std::vector<std::shared_ptr<Connection>> all;
    all.reserve(connections_.size());
    for (const auto& [key, connection] : connections_) all.push_back(connection);
    for (const auto& connection : all) connection->look_at_time(config_.timeouts);
  });
}

// ---- running and ending -------------------------------------------------------------------------

void Server::Inside::run() {
  listeners_.accept();
  sweep();
  // What is thrown ends what threw; the loop goes on with the others.
  for (bool ended = false; !ended;) {
    const Status ran = caught([&] { io.run(); });
    ended = ran.has_value();
    if (!ran) log(LogLevel::kError, "the loop goes on after: " + ran.error().message);
  }
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
  asio::post(io, std::exchange(idle_, nullptr));
}

std::vector<std::weak_ptr<Connection>> Server::Inside::cut_short(
    const Refusal& why, const std::function<bool(const Connection&)>& which) {
  std::vector<std::shared_ptr<Connection>> ended;
  for (const auto& [key, connection] : connections_)
    if (which(*connection)) ended.push_back(connection);
  for (const auto& connection : ended) connection->cut_short(why);
  return {ended.begin(), ended.end()};
}

void Server::Inside::close_all() {
  listeners_.close();
  for (auto& [key, connection] : std::exchange(connections_, {})) connection->close();
  io.stop();
}

// ---- the outside --------------------------------------------------------------------------------

Server::Server(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::create(const ServerConfig& config, const Router& router) {
  auto inside = std::make_unique<Inside>(config, router);
  CHOIR_CHECK_OK(inside->listen());
  return std::unique_ptr<Server>(new Server(std::move(inside)));
}

std::vector<std::string> Server::addresses() const { return inside_->addresses(); }
void Server::run() { inside_->run(); }
std::size_t Server::connections() const { return inside_->count.load(); }

void Server::drain(std::function<void()> idle) {
  asio::post(inside_->io, [this, idle = std::move(idle)] { inside_->drain(idle); });
}
void Server::stop() {
  asio::post(inside_->io, [this] { inside_->close_all(); });
}

void Server::post(std::function<void()> work) { asio::post(inside_->io, std::move(work)); }

void Server::on_signal(std::function<void()> handle) {
  const auto waiting = std::make_shared<SignalWait>(inside_->io, std::move(handle));
  waiting->set.add(SIGTERM);
  waiting->set.add(SIGINT);
  waiting->wait(waiting);
}
void Server::on_hangup(std::function<void()> handle) {
  const auto waiting = std::make_shared<SignalWait>(inside_->io, std::move(handle));
  waiting->set.add(SIGHUP);
  waiting->wait(waiting);
}

void Server::end_clients(const std::vector<std::string>& keys, const Refusal& why) {
  auto told = inside_->cut_short(why, [&](const Connection& connection) {
    return std::ranges::find(keys, connection.client_key()) != keys.end();
  });
  after(kTimeToTell, [told = std::move(told)] {
    for (const auto& one : told)
      if (const auto connection = one.lock()) connection->close();
  });
}
void Server::end_all(const Refusal& why) {
  inside_->cut_short(why, [](const Connection& /*any*/) { return true; });
}

void Server::after(Nanos time, std::function<void()> work) {
  const auto timer = std::make_shared<asio::steady_timer>(inside_->io, time);
  timer->async_wait([timer, work = std::move(work)](error_code stopped) {
    if (!stopped) work();
  });
}

}  // namespace choir::serve
