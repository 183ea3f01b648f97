// A connection of the daemon on a pair of sockets of this process, a loop that is turned by hand,
// and a clock that stands still.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "serve/connection.h"

namespace choir::serve {

inline constexpr std::size_t kBigBytes = 8U << 20U;  // more than sockets keep

// What the test gives to the work of POST /wait, and learns of it.
struct Waiting {
  Output next;
  Output last;  // that it says where it is cut short
  int begun = 0;
  int ended = 0;
  Nanos silent{0};
};

class Waits final : public Work {
 public:
  explicit Waits(Waiting& waiting) : waiting_(waiting) { ++waiting_.begun; }
  ~Waits() override { ++waiting_.ended; }
  Output advance() override { return taken(waiting_.next); }
  Output cut_short(const Refusal& why) override {
    if (!waiting_.last.bytes.empty()) waiting_.last.bytes += why.message;
    return taken(waiting_.last);
  }
  Output silence(Nanos silent) override {
    waiting_.silent = silent;
    return {};
  }
  WorkFacts facts() const override { return {.model = "small", .prompt_tokens = 3}; }

 private:
  static Output taken(Output& from) {
    Output out = std::move(from);
    from.head.reset();
    from.bytes.clear();
    from.end = false;
    return out;
  }
  Waiting& waiting_;
};

class Host final : public ConnectionHost {
 public:
  Host() {
    router.add({.method = "GET",
                .path = "/now",
                .scopes = 0,
                .handler = [](const HttpRequest& request, const Wake&) {
                  return reply_with_json(200, "{\"query\":\"" + request.query + "\"}");
                }});
    router.add({.method = "POST",
                .path = "/echo",
                .body_bytes_max = 64U << 10U,
                .handler = [](HttpRequest request, const Wake&) {
                  return reply_with({}, std::move(request.body));
                }});
    router.add({.method = "GET", .path = "/big", .handler = [](const HttpRequest&, const Wake&) {
                  return reply_with({}, std::string(kBigBytes, 'b'));
                }});
    router.add(
        {.method = "GET", .path = "/wait", .handler = [this](const HttpRequest&, const Wake&) {
           return std::make_unique<Waits>(waiting);
         }});
  }

  std::variant<const Route*, Refusal> route(std::uint64_t /*key*/, HttpRequest& head) override {
    return router.find(head);
  }
  std::string refusal_body(const Refusal& refusal) override { return refusal.message; }
  Wake wake_of(std::uint64_t /*key*/) override {
    return [] {};
  }
  Instant now() override { return clock.now(); }
  bool draining() const override { return drains; }
  bool reserve_body(std::size_t bytes) override {
    if (bodies + bytes > bodies_max) return false;
    bodies += bytes;
    return true;
  }
  void release_body(std::size_t bytes) override { bodies -= bytes; }
  void ended(std::uint64_t /*key*/) override { connection.reset(); }
  void replied(int status) override { statuses.push_back(status); }
  void exchanged(std::uint64_t /*key*/, Exchange exchange) override {
    exchanges.push_back(std::move(exchange));
  }
  std::span<char> scratch() override { return scratch_; }

  Router router;
  ManualClock clock;
  Waiting waiting;
  bool drains = false;
  std::size_t bodies = 0;
  std::size_t bodies_max = 1U << 20U;
  std::vector<int> statuses;
  std::vector<Exchange> exchanges;
  std::shared_ptr<Connection> connection;  // until it has ended

 private:
  std::array<char, 16384> scratch_{};
};

class OneConnection : public testing::Test {
 protected:
  using Local = boost::asio::local::stream_protocol;

  OneConnection() {
    host_.clock.advance(std::chrono::hours(1));  // the server has been there for a while
    connect();
  }
  ~OneConnection() override {
    tell([](Connection& connection) { connection.close(); });
  }

  void connect() {
    tell([](Connection& connection) { connection.close(); });
    Local::socket ours(io_);
    client_ = Local::socket(io_);
    boost::asio::local::connect_pair(ours, client_);
    client_.non_blocking(true);
    host_.connection =
        std::make_shared<Connection>(Connection::Socket(std::move(ours)), "1.2.3.4", 1, host_);
    host_.connection->begin();
    turn();
  }

  // Calls something of the connection, which may end by it.
  template <class Call>
  void tell(Call call) {
    if (const auto connection = host_.connection) call(*connection);
    turn();
  }
  bool open() const { return host_.connection != nullptr; }
  // Until nothing is left to do.
  void turn() {
    io_.restart();
    while (io_.poll() > 0) io_.restart();
  }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      boost::system::error_code error;
      bytes.remove_prefix(
          client_.write_some(boost::asio::buffer(bytes.data(), bytes.size()), error));
      turn();
      if (error && error != boost::asio::error::would_block) return;
    }
  }
  // What has come, at most so much.
  std::string read(std::size_t most = SIZE_MAX) {
    std::string text;
    std::array<char, 65536> bytes{};
    while (text.size() < most) {
      boost::system::error_code error;
      const std::size_t count = client_.read_some(
          boost::asio::buffer(bytes.data(), std::min(bytes.size(), most - text.size())), error);
      if (error) break;
      text.append(bytes.data(), count);
      turn();
    }
    return text;
  }
  std::string ask(std::string_view bytes) {
    send(bytes);
    return read();
  }
  // Time passes, and the server looks at its connections.
  void pass(Nanos time) {
    host_.clock.advance(time);
    tell([](Connection& connection) { connection.look_at_time({}); });
  }
  void give(Output output) {
    host_.waiting.next = std::move(output);
    tell([](Connection& connection) { connection.woken(); });
  }

  boost::asio::io_context io_{1};
  Host host_;
  Local::socket client_{io_};
};

}  // namespace choir::serve
