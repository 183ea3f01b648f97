#include "serve/connection.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "serve/beast_request.h"
#include "serve/or_close.h"
#include "serve/reply_text.h"
#include "serve/request_head.h"

namespace choir::serve {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

// What a client may send while its request is answered; more stays in the socket.
constexpr std::size_t kAheadBytesMax = 16U << 10U;
// Reserved of a body before it comes, so that a client learns early that there is no room. Little
// enough that all connections together (limits.connections) leave room for bodies.
constexpr std::size_t kBodyStep = 16U << 10U;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

Connection::Connection(Socket socket, std::string address, std::uint64_t key, ConnectionHost& host)
    : socket_(std::move(socket)), address_(std::move(address)), key_(key), host_(host) {}

void Connection::begin() {
  look_at_clock();
  error_code ignored;
  socket_.non_blocking(true, ignored);
  enter(Phase::kIdle);
  wait_for_bytes();
}

void Connection::enter(Phase phase) {
  phase_ = phase;
  since_ = now_;
}

// ---- reading ------------------------------------------------------------------------------------

void Connection::wait_for_bytes() {
  if (waits_for_bytes_ || closed_) return;
  waits_for_bytes_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code error) {
    self->waits_for_bytes_ = false;
    if (!error && !self->closed_) or_close(*self, [&] { self->on_readable(); });
  });
}

void Connection::on_readable() {
  look_at_clock();
  error_code error;
  const std::span<char> room = host_.scratch();
  const std::size_t bytes = socket_.read_some(asio::buffer(room.data(), room.size()), error);
  if (error == asio::error::would_block || error == asio::error::try_again) {
    wait_for_bytes();
    return;
  }
  // The end of what the client sends is the end of the client: no reply would be read.
  if (error) {
    end(kClientGone);
    return;
  }
  take_bytes(bytes);
}

void Connection::take_bytes(std::size_t bytes) {
  const std::span<char> came = host_.scratch().first(bytes);
  switch (phase_) {
    case Phase::kLinger:
      wait_for_bytes();
      return;
    case Phase::kWork:
    case Phase::kSending:
      in_.append(came.data(), came.size());
      if (in_.size() <= kAheadBytesMax) wait_for_bytes();
      return;
    case Phase::kBody:
      in_.append(came.data(), came.size());
      read_body();
      return;
    case Phase::kIdle:
    case Phase::kHead:
      in_.append(came.data(), came.size());
      read_head();
      return;
  }
}

void Connection::read_head() {
  // An empty line before a request is allowed, as some clients send one after a body.
  while (in_.starts_with("\r\n")) in_.erase(0, 2);
  if (in_.empty()) {
    wait_for_bytes();
    return;
  }
  if (phase_ == Phase::kIdle) {
    enter(Phase::kHead);
    began_ = since_;
  }
  const std::size_t bytes = head_bytes(in_);
  const auto fault =
      bytes == 0 ? check_unfinished(in_) : check_head(std::string_view(in_).substr(0, bytes));
  if (fault)
    refuse({fault->status, fault->message});
  else if (bytes == 0)
    wait_for_bytes();
  else
    begin_body(bytes);
}

void Connection::begin_body(std::size_t head_bytes) {
  parser_.emplace();
  // No limit: fits() looks, and chunks are looked at as they come. boost::none would say so only in
  // newer versions of Beast; that of Boost 1.74 finds every length above it.
  parser_->body_limit(std::numeric_limits<std::uint64_t>::max());
  parser_->header_limit(static_cast<std::uint32_t>(head_bytes));
  parser_->eager(false);
  parser_->on_chunk_header(check_chunk);
  error_code error;
  parser_->put(asio::buffer(in_.data(), head_bytes), error);
  if (error || !parser_->is_header_done()) {
    refuse({400, "the head of the request is not HTTP/1.1: " + error.message()});
    return;
  }
  in_.erase(0, head_bytes);
  const auto& head = parser_->get();
  http10_ = head.version() < 11;
  keep_alive_ = parser_->keep_alive();
  request_ = request_of(head, address_);
  exchange_ = exchange_of(request_, address_);
  const auto path = decoded_path(request_.path);
  if (!path) {
    refuse({400, "the path has an escape or a segment that is not allowed"});
    return;
  }
  request_.path = exchange_->path = *path;
  const auto found = host_.route(key_, request_);
  const auto* refusal = std::get_if<Refusal>(&found);
  exchange_->key = request_.client.key;
  if (refusal == nullptr || !exchange_->key.empty()) exchange_->tenant = request_.client.tenant;
  if (refusal != nullptr) {
    refuse(*refusal);
    return;
  }
  route_ = std::get<const Route*>(found);
  if (host_.draining() && !route_->while_draining) {
    refuse({.status = 503,
            .message = "the daemon is ending and takes no new requests",
            .headers = {{"retry-after", "5"}},
            .code = "draining"});
    return;
  }
  if (!fits(*parser_, *route_)) return;
  enter(Phase::kBody);
  parser_->eager(true);
  body_bytes_ = 0;
  read_body();
}

// Refuses what is too long by what it says of itself, before memory is given.
bool Connection::fits(const Parser& parser, const Route& route) {
  const std::uint64_t length = parser.content_length() ? *parser.content_length() : 0;
  if (length > route.body_bytes_max) {
    refuse({413, "the body has " + std::to_string(length) + " bytes, '" + route.path +
                     "' takes at most " + std::to_string(route.body_bytes_max)});
    return false;
  }
  const std::size_t first = parser.chunked() ? 0 : static_cast<std::size_t>(length);
  if (!reserve_body(std::min(first, kBodyStep))) return false;
  const std::string expect = lower_case(request_.header("expect"));
  if (!expect.empty() && expect != "100-continue") {
    refuse({417, "the only Expect that is understood is '100-continue'"});
    return false;
  }
  if (!expect.empty() && (length > 0 || parser.chunked())) {
    error_code
        ignored;  // a few bytes into an empty socket; where they do not fit, the client waits
    socket_.write_some(asio::buffer(kContinue), ignored);
  }
  return true;
}

// Room for a body of so many bytes. As much is reserved as has come, and not as much as may come or
// as the head announces: a few slow clients would keep out all others.
bool Connection::reserve_body(std::size_t bytes) {
  if (bytes <= body_reserved_) return true;
  if (!host_.reserve_body(bytes - body_reserved_)) {
    refuse({503, "too many bodies are being read", {{"retry-after", "1"}}});
    return false;
  }
  body_reserved_ = bytes;
  return true;
}

void Connection::read_body() {
  while (!parser_->is_done() && !in_.empty()) {
    error_code error;
    const std::size_t used = parser_->put(asio::buffer(in_), error);
    in_.erase(0, used);
    body_bytes_ += used;
    const std::size_t size = parser_->get().body().size();
    if (size > route_->body_bytes_max) {
      refuse({413, "the body has more than " + std::to_string(route_->body_bytes_max) + " bytes"});
      return;
    }
    if (!reserve_body(size)) return;
    if (error == http::error::need_more) break;
    if (error) {
      refuse({400, "the body is not sent as HTTP/1.1 wants it: " + error.message()});
      return;
    }
  }
  // A chunk's line that does not end.
  if (!parser_->is_done() && in_.size() > kAheadBytesMax) {
    refuse({400, "the body is not sent as HTTP/1.1 wants it: a line is too long"});
    return;
  }
  if (parser_->is_done())
    begin_work();
  else
    wait_for_bytes();
}

// ---- answering ----------------------------------------------------------------------------------

void Connection::begin_work() {
  request_.body = std::move(parser_->get().body());
  parser_.reset();
  in_.shrink_to_fit();
  enter(Phase::kWork);
  head_sent_ = chunked_ = ended_ = false;
  work_ =
      route_->handler(std::exchange(request_, {.method = request_.method}), host_.wake_of(key_));
  wait_for_bytes();  // to see the client leave
  pump();
}

void Connection::woken() {
  look_at_clock();
  if (phase_ == Phase::kWork) or_close(*this, [&] { pump(); });
}

void Connection::pump() {
  if (advancing_) return;
  advancing_ = true;
  while (phase_ == Phase::kWork && !closed_ && work_ && !ended_) {
    Output output = work_->advance();
    if (output.empty()) break;
    handle(std::move(output));
  }
  advancing_ = false;
}

void Connection::handle(Output output) {
  const bool head_only = request_.method == "HEAD";
  if (output.head && !head_sent_) {
    chunked_ = output.head->streamed && !http10_;
    const bool by_close = output.head->streamed && http10_;
    if (output.head->close || by_close || host_.draining()) keep_alive_ = false;
    exchange_->status = output.head->status;
    name_exchange(*output.head, *exchange_);
    append_head(out_, *output.head, {http10_, keep_alive_, output.bytes.size()});
    head_sent_ = true;
    host_.replied(output.head->status);
  }
  if (!head_only) {
    if (chunked_)
      append_chunk(out_, output.bytes);
    else
      out_ += output.bytes;
    if (chunked_ && output.end) out_ += kLastChunk;
  }
  ended_ = output.end;
  send();
}

void Connection::refuse(const Refusal& refusal) {
  if (!exchange_) exchange_ = exchange_of(request_, address_);
  parser_.reset();
  work_.reset();
  in_.clear();
  ReplyHead head{.status = refusal.status, .headers = refusal.headers, .close = true};
  head.headers.push_back({"content-type", "application/json"});
  keep_alive_ = false;
  handle({.head = std::move(head), .bytes = host_.refusal_body(refusal), .end = true});
}

// ---- sending ------------------------------------------------------------------------------------

void Connection::send() {
  if (phase_ != Phase::kSending) enter(Phase::kSending);
  while (sent_ < out_.size()) {
    error_code error;
    const std::size_t bytes =
        socket_.write_some(asio::buffer(out_.data() + sent_, out_.size() - sent_), error);
    if (error == asio::error::would_block || error == asio::error::try_again) {
      wait_for_room();
      return;
    }
    if (error) {
      end(kClientGone);
      return;
    }
    sent_ += bytes;
    exchange_->bytes += bytes;
    since_ = now_;
  }
  out_.clear();
  sent_ = 0;
  if (ended_) {
    end_exchange();
    return;
  }
  enter(Phase::kWork);
  pump();  // does nothing when pump() called this
}

void Connection::wait_for_room() {
  if (waits_for_room_ || closed_) return;
  waits_for_room_ = true;
  socket_.async_wait(Socket::wait_write, [self = shared_from_this()](error_code error) {
    self->waits_for_room_ = false;
    self->look_at_clock();
    if (!error && !self->closed_) or_close(*self, [&] { self->send(); });
  });
}

void Connection::end_exchange() {
  tell_exchange();
  work_.reset();
  out_.shrink_to_fit();
  host_.release_body(std::exchange(body_reserved_, 0));
  head_sent_ = false;
  request_ = {};
  if (!keep_alive_ || host_.draining()) {
    linger();
    return;
  }
  enter(Phase::kIdle);
  if (in_.empty())
    wait_for_bytes();
  else
    read_head();
}

}  // namespace choir::serve
