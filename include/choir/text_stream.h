// A stream from which the caller takes the text of a running request when it can use it. It is
// meant for many readers that may be slow, such as sockets. Callbacks::on_event is the other form:
// it pushes the text. A request uses one of the two.
//
//   auto asked = node->submit(request, {.on_news = [&loop](choir::RequestId id) { loop.wake(id);
//   }}); choir::TextStream stream = std::move(asked->stream);
//   ... in the loop, after a wake:
//   choir::StreamPiece piece = stream.take();
//   socket.write(piece.text);
//   if (piece.end) socket.close();
//
// A caller that does not take is a slow reader. When more than NodeConfig::stream_bytes_max bytes
// are unread, the sequence is parked until at most half of that is unread. After
// NodeConfig::stalled the request ends as kStalled. So a server whose socket accepts no data just
// does not call take().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "choir/export.h"
#include "choir/ids.h"
#include "choir/request.h"

namespace choir {

class RequestState;

// What came since the last take().
struct StreamPiece {
  std::string text;               // whole UTF-8 characters only; may be empty
  std::vector<TokenId> tokens;    // those that were generated, in order
  std::optional<Completion> end;  // set once, in the last piece
};

// The stream of one request. It may outlive the request, the node and the executor; it then gives
// what was unread, and the end. It stays valid when the request moves to another node.
//
// Threads: take(), close() and id() from any thread, also from two threads at once and inside
// callbacks. Moving, assigning and destroying an object needs that no other thread uses it.
// No call blocks; each holds a lock while it copies the text.
class CHOIR_API TextStream {
 public:
  TextStream() = default;  // of no request: all pieces are empty, and there is no end
  // Calls close().
  ~TextStream();
  TextStream(TextStream&& other) noexcept = default;
  TextStream& operator=(TextStream&& other) noexcept;
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;

  explicit operator bool() const { return request_ != nullptr; }
  RequestId id() const;  // {0}: of no request

  // Everything that came since the last call; empty if nothing did. All pieces together are the
  // text and the tokens of the Completion. If two threads call at once, each piece of text, each
  // token and the end goes to one of them. The end comes when the node no longer counts the
  // request, and before the future is ready.
  StreamPiece take();

  // The caller reads no more. The request goes on like one without a reader: it is not parked for
  // its reader, and its future becomes ready. Unread text is dropped from the stream. To end the
  // request as well, call Node::cancel().
  void close();

 private:
  friend class Runtime;
  explicit TextStream(std::shared_ptr<RequestState> request) : request_(std::move(request)) {}
  std::shared_ptr<RequestState> request_;
};

}  // namespace choir
