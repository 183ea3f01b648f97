#include "serve/listeners.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/v6_only.hpp>
#include <chrono>
#include <filesystem>
#include <utility>

#include "base/caught.h"
#include "base/log.h"
#include "serve/client.h"

namespace choir::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::milliseconds kAcceptAgain{100};  // after an error, such as no descriptors

}  // namespace

Status Listeners::open(const Endpoints& endpoints) {
  port_ = endpoints.port;
  std::optional<Error> first;
  for (const std::string& host : endpoints.hosts) {
    Status listening = listen_on(host);
    if (listening) continue;
    const bool no_such_family = listening.error().code == Code::kNotFound;
    if (!no_such_family) return listening;
    if (!first) first = std::move(listening).error();
  }
  if (all_.empty() && first) return fail(Code::kUnavailable, first->message);
  path_ = endpoints.unix_socket ? *endpoints.unix_socket : default_socket(port_);
  if (path_.empty()) return {};
  Status listening = listen_on_path();
  if (listening) return {};
  path_.clear();
  // A user without a home folder that can be written gets no unix socket, and the rest.
  const bool must = endpoints.unix_socket || all_.empty();
  if (must || listening.error().code == Code::kAlreadyExists) return listening;
  log(LogLevel::kWarn, "no unix socket, over which `choir load` and others change the daemon: " +
                           listening.error().message + "; --unix-socket names another path");
  return {};
}

Status Listeners::listen_on(const std::string& host) {
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error)
    return fail(Code::kInvalidArgument,
                "'" + host + "' is no address: --bind takes one such as 127.0.0.1 or ::1");
  const auto where = [&] { return host + " port " + std::to_string(port_); };
  Listener listener;
  listener.on_port.emplace(io_);
  listener.again = std::make_unique<asio::steady_timer>(io_);
  Tcp::acceptor& acceptor = *listener.on_port;
  acceptor.open(address.is_v6() ? Tcp::v6() : Tcp::v4(), error);
  if (error) return fail(Code::kNotFound, "cannot listen on " + where() + ": " + error.message());
  acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
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
  all_.push_back(std::move(listener));
  return {};
}

Status Listeners::listen_on_path() {
  const std::string& path = path_;
  const auto failed = [&](const std::string& why, Code code = Code::kUnavailable) {
    return fail(code, "cannot listen on the unix socket '" + path + "': " + why);
  };
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return failed("the path has " + std::to_string(path.size()) + " bytes, at most " +
                  std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " are allowed");
  error_code error;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode))
      return failed("a file of that name is there", Code::kAlreadyExists);
    Local::socket probe(io_);
    probe.connect(Local::endpoint(path), error);
    if (!error) return failed("another daemon answers there", Code::kAlreadyExists);
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
  all_.push_back(std::move(listener));
  return {};
}

std::vector<std::string> Listeners::addresses() const {
  std::vector<std::string> all;
  for (const Listener& listener : all_) {
    if (!listener.on_port) continue;
    error_code ignored;
    const auto address = listener.on_port->local_endpoint(ignored).address();
    all.push_back("http://" +
                  (address.is_v6() ? "[" + address.to_string() + "]" : address.to_string()) + ":" +
                  std::to_string(port_));
  }
  if (!path_.empty()) all.push_back("unix:" + path_);
  return all;
}

template <class Acceptor>
void Listeners::accept_on(Acceptor& acceptor, asio::steady_timer& again, bool over_unix_socket) {
  acceptor.async_accept([this, &acceptor, &again, over_unix_socket](error_code error, auto socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      const Status taken = caught([&] { take_(Socket(std::move(socket)), over_unix_socket); });
      if (!taken) log(LogLevel::kError, "a connection was dropped: " + taken.error().message);
      accept_on(acceptor, again, over_unix_socket);
      return;
    }
    log(LogLevel::kWarn, "a connection cannot be accepted: " + error.message());
    again.expires_after(kAcceptAgain);
    again.async_wait([this, &acceptor, &again, over_unix_socket](error_code stopped) {
      if (!stopped) accept_on(acceptor, again, over_unix_socket);
    });
  });
}

void Listeners::accept() {
  for (Listener& listener : all_) {
    if (listener.on_port) accept_on(*listener.on_port, *listener.again, false);
    if (listener.on_path) accept_on(*listener.on_path, *listener.again, true);
  }
}

void Listeners::close() {
  error_code ignored;
  for (Listener& listener : all_) {
    if (listener.on_port) listener.on_port->close(ignored);
    if (listener.on_path) listener.on_path->close(ignored);
    listener.again->cancel();
  }
  if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace choir::serve
