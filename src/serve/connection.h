// One connection of a client: reads requests, lets a handler answer them one after another, and
// sends what the answer gives, as fast as the socket takes it.
//
// It waits for its socket with Asio and reads and writes without blocking, through buffers that
// all connections share; so an idle connection holds a few hundred bytes. Beast parses heads and
// bodies after request_head has looked at the bytes.
//
// All of it runs on the loop thread of its server. The server owns it; what waits for the socket
// keeps it alive until that wait has ended.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "choir/units.h"
#include "serve/exchange.h"
#include "serve/growing_body.h"
#include "serve/http.h"
#include "serve/router.h"
#include "serve/timeouts.h"

namespace choir::serve {

class Connection;

// What a connection needs of its server.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  // As Router::find(), for the connection of this key. Each is followed by exchanged().
  virtual std::variant<const Route*, Refusal> route(std::uint64_t key, HttpRequest& head) = 0;
  virtual std::string refusal_body(const Refusal& refusal) = 0;  // JSON
  virtual Wake wake_of(std::uint64_t key) = 0;
  virtual Instant now() = 0;
  // The server takes no new requests: connections end after what they answer.
  virtual bool draining() const = 0;
  // Room for so many bytes of bodies that are being read; false: there is none.
  virtual bool reserve_body(std::size_t bytes) = 0;
  virtual void release_body(std::size_t bytes) = 0;
  virtual void ended(std::uint64_t key) = 0;  // destroys the connection soon
  virtual void replied(int status) = 0;       // the head of a reply goes out
  // The exchange has ended, also one that was refused or whose client has gone.
  virtual void exchanged(std::uint64_t key, Exchange exchange) = 0;
  // For reading; valid until the loop goes on.
  virtual std::span<char> scratch() = 0;
};

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  // `address`: of the client; empty: it came over the unix socket.
  Connection(Socket socket, std::string address, std::uint64_t key, ConnectionHost& host);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void begin();
  // advance() of its work has output, or may have.
  void woken();
  // About once a second.
  void look_at_time(const Timeouts& timeouts);
  // Ends it if it answers nothing now; else after its answer.
  void end_when_idle();
  // Ends what it answers: an answer that has begun with an error in its own form, one that has not
  // with this refusal. The client may read it until the connection ends.
  void cut_short(const Refusal& why);
  // At once; its work gives up. For an end that is not the client's.
  void close() { end(503); }
  // The name of the key whose request it answers now; empty: none.
  std::string_view client_key() const {
    return exchange_ ? std::string_view(exchange_->key) : std::string_view();
  }

 private:
  using Parser = boost::beast::http::request_parser<GrowingBody>;

  void wait_for_bytes();
  void on_readable();
  void take_bytes(std::size_t bytes);
  void read_head();
  void begin_body(std::size_t head_bytes);
  bool fits(const Parser& parser, const Route& route);
  bool reserve_body(std::size_t bytes);
  void read_body();
  void begin_work();
  void pump();
  void handle(Output output);
  void send();
  void wait_for_room();
  void end_exchange();
  void linger();
  void refuse(const Refusal& refusal);
  void enter(Phase phase);
  void look_at_clock() { now_ = host_.now(); }
  void tell_exchange();
  // `status`: in the log, of what is being answered.
  void end(int status);

  Socket socket_;
  const std::string address_;
  const std::uint64_t key_;
  ConnectionHost& host_;

  Instant now_;  // when what is being handled came: it is handled in no time
  Phase phase_ = Phase::kIdle;
  Instant since_;  // the phase began, or the socket took bytes
  bool waits_for_bytes_ = false;
  bool waits_for_room_ = false;
  bool closed_ = false;

  std::string in_;  // came and is not used yet
  std::optional<Parser> parser_;
  HttpRequest request_;
  std::optional<Exchange> exchange_;  // from a complete head, or a refusal, to its end
  Instant began_;                     // its first byte came
  const Route* route_ = nullptr;
  std::size_t body_bytes_ = 0;  // that came
  std::size_t body_reserved_ = 0;
  bool http10_ = false;
  bool keep_alive_ = true;

  std::unique_ptr<Work> work_;
  bool advancing_ = false;
  bool head_sent_ = false;
  bool chunked_ = false;
  bool ended_ = false;  // the work has said its end
  std::string out_;     // for the socket
  std::size_t sent_ = 0;
};

}  // namespace choir::serve
