// The sockets of the daemon: listeners, connections, and the one loop thread on which all of them
// live. It knows nothing of models; a Router says what answers a request.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "choir/result.h"
#include "serve/accounts.h"
#include "serve/exchange.h"
#include "serve/listeners.h"
#include "serve/router.h"
#include "serve/timeouts.h"
#include "serve/wrong_keys.h"

namespace choir::serve {

struct ServerConfig {
  Endpoints endpoints = {};
  std::size_t connections_max = 12'000;      // and never more than descriptors - 256
  std::size_t body_bytes_max = 256U << 20U;  // of all bodies that are being read
  Timeouts timeouts = {};
  AccountLimits accounts = {};
  WrongKeyRules wrong_keys = {};
  std::function<void(int)> on_reply = [](int /*status*/) {};  // on the loop, with each head
  // On the loop, with each request that is taken in.
  std::function<void(const HttpRequest&)> on_begin = [](const HttpRequest& /*head*/) {};
  // On the loop, with each exchange that has ended.
  std::function<void(Exchange)> on_exchange = [](const Exchange& /*exchange*/) {};
};

// For clients to take the last words of answers that are cut short.
inline constexpr Nanos kTimeToTell = std::chrono::seconds(1);

class Server {
 public:
  // Opens the listeners. kUnavailable: an address is in use or not of this machine. A machine
  // without IPv6 is served on IPv4 alone, unless IPv6 is all that was asked for. A unix socket that
  // a daemon left behind is replaced; one that answers is not.
  static Result<std::unique_ptr<Server>> create(const ServerConfig& config, const Router& router);
  // Closes all connections. Not while run() runs.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // "http://127.0.0.1:8411", and so on.
  std::vector<std::string> addresses() const;

  // Serves on the calling thread until stop(). Blocks.
  void run();

  // ---- any thread, does not block; what they do happens on the loop
  // Idle connections end, others after what they answer; new requests are refused with 503. When
  // the last exchange has ended, `idle` is called on the loop, once.
  void drain(std::function<void()> idle);
  // run() returns; connections are closed first.
  void stop();
  // Calls `work` on the loop.
  void post(std::function<void()> work);

  // Calls `handle` on the loop for each of SIGTERM and SIGINT, or for each SIGHUP. On the thread of
  // run(), before it.
  void on_signal(std::function<void()> handle);
  void on_hangup(std::function<void()> handle);
  // Calls `work` on the loop after a time. On the loop only.
  void after(Nanos time, std::function<void()> work);
  // Ends what is answered to clients whose keys have these names, as Connection::cut_short(), and
  // kTimeToTell later their connections. On the loop only.
  void end_clients(const std::vector<std::string>& keys, const Refusal& why);
  // The same of all clients; their connections stay for stop().
  void end_all(const Refusal& why);

  std::size_t connections() const;  // any thread

 private:
  class Inside;
  explicit Server(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace choir::serve
