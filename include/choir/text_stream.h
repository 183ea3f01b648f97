// The text of a running request, taken by its reader when it has room for it: the form for readers
// that are many and may be slow, such as sockets. Text can also be pushed, by Callbacks::on_event;
// a request has one of the two forms.
//
//   auto asked = node->submit(request, {.on_news = [&loop](choir::RequestId id) { loop.wake(id);
//   }}); choir::TextStream stream = std::move(asked->stream);
//   ... in the loop, after a wake:
//   choir::StreamPiece piece = stream.take();
//   socket.write(piece.text);
//   if (piece.end) socket.close();
//
// A reader that does not take is a slow reader: with more than NodeConfig::stream_bytes_max bytes
// unread the sequence is parked until half of that is left, and after NodeConfig::stalled the
// request ends as kStalled. A reader that gives no room, because its socket takes nothing, need do
// nothing else.
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
  std::optional<Completion> end;  // set once, in the last piece: nothing comes after it
};

// The reader's end of one request. It may outlive the request, the node and the executor, and then
// gives what was unread and the end; a request that moves to another node keeps it.
//
// Threads: any thread may call anything; take() and close() at any time, also two threads at once
// and inside callbacks. Moving and destroying an object is for one thread at a time, as usual.
// Nothing here blocks: a call holds a lock for the time of a copy, at most.
class CHOIR_API TextStream {
 public:
  TextStream() = default;  // of no request: pieces are empty and never have an end
  // As close().
  ~TextStream();
  TextStream(TextStream&& other) noexcept = default;
  TextStream& operator=(TextStream&& other) noexcept;
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;

  explicit operator bool() const { return request_ != nullptr; }
  RequestId id() const;  // {0}: of no request

  // Everything that came since the last call; empty where nothing did. All pieces together are the
  // text and tokens of the Completion. Where two threads call at once, each text and token goes to
  // one of them, and the end to one of them. The end comes after the node has stopped counting the
  // request, and no later than the future is ready.
  StreamPiece take();

  // Nobody reads any more: the request goes on as one that has no reader, its future included, and
  // is never parked for its reader. What is unread is dropped from the stream. To end the request
  // too, cancel() it.
  void close();

 private:
  friend class Runtime;
  explicit TextStream(std::shared_ptr<RequestState> request) : request_(std::move(request)) {}
  std::shared_ptr<RequestState> request_;
};

}  // namespace choir
