// One request while it is active: what its caller's threads, the lanes and the dispatchers share.
//
// Cancel and deadline are atomics and never mail, so that a full mailbox cannot refuse them. Text
// goes through one bounded buffer: the lane appends, and the reader takes. The reader is a
// dispatcher, which pushes what it took into on_event, or the caller's TextStream.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "choir/node.h"
#include "choir/request.h"
#include "choir/text_stream.h"
#include "runtime/embed_work.h"
#include "runtime/opening.h"
#include "runtime/request_home.h"

namespace choir {

// What has to happen between the end of a request and its being told, and takes time (a store).
// Called on a dispatcher, which it must not keep; calls `tell` once, on any thread.
using BeforeEnd =
    std::function<void(const std::shared_ptr<const Completion>&, std::function<void()> tell)>;

// How far a request is, for Node::requests(). The lane that has its sequence
// writes, when something has changed and without an order to others.
struct RequestProgress {
  std::atomic<std::int32_t> computed{0};  // tokens with KV state, in cells or parked
  std::atomic<std::int32_t> output_tokens{0};
  std::atomic<bool> parked{false};             // it lost its cells, and was in no pass since then
  std::atomic<std::int32_t> prompt_tokens{0};  // 0: not known yet
  std::atomic<std::int32_t> max_tokens{0};
  std::atomic<std::int32_t> reused_tokens{0};
  // Since it was submitted.
  std::atomic<double> held_seconds{0};          // as Usage::held_seconds
  std::atomic<double> queue_seconds{-1};        // until its first pass; -1: not yet
  std::atomic<double> first_token_seconds{-1};  // until its first token; -1: not yet
};

class RequestState {
 public:
  RequestState(RequestId its_id, RequestHome& its_home, ExecutorId its_executor, Instant when,
               Instant end_by, Callbacks whom_to_tell)
      : id(its_id),
        submitted(when),
        deadline(end_by),
        pulled(static_cast<bool>(whom_to_tell.on_news)),
        streams(pulled || static_cast<bool>(whom_to_tell.on_event)),
        callbacks(std::move(whom_to_tell)),
        place_(RequestPlace{its_home.link(), its_executor}) {}

  const RequestId id;
  const Instant submitted;
  // Up to `progress`: what a lane looks at in every step, in one line of the cache.
  const Instant deadline;  // Instant{}: none
  const bool pulled;       // its text is taken through a TextStream
  const bool streams;      // it has a reader; the text is here and nowhere else
  std::atomic<bool> cancelled{false};
  std::atomic<bool> held_back{false};  // its executor waits for the reader
  RequestProgress progress;
  Callbacks callbacks;  // the dispatcher's, which ends them too
  std::promise<Completion> promise;

  RequestPlace place() const {
    return place_.with([](const RequestPlace& p) { return p; });
  }
  ExecutorId executor() const {
    return place_.with([](const RequestPlace& p) { return p.executor; });
  }
  // While no lane has its sequence, and never after its end.
  void move_to(const RequestHome& home, ExecutorId executor) {
    place_.with([&](RequestPlace& p) { p = {home.link(), executor}; });
  }
  // What it will cost, for the spreading of load: set before it is posted.
  std::atomic<bool> awaited{false};  // its tokens are not known yet
  BeforeEnd before_end;              // may be empty; the dispatchers', once it is posted
  double estimated_seconds = 0;
  std::string tenant;  // never changes once it is posted, nor does its weight
  double tenant_weight = 1;
  Priority priority = Priority::kNormal;
  Opener late;  // makes its prompt; set while its executor is frozen (runtime/moves.h)
  std::unique_ptr<EmbedWork> embedding;  // null: it generates; never changes once it is posted

  // Lane, of a request with a reader: a token was drawn. `add(text)` appends what has become
  // certain with it; what it returns is passed on. `announce`: the dispatcher has to be told.
  template <class End>
  struct Appended {
    End end;
    bool announce = false;
  };
  template <class Add>
  auto append(TokenId token, Add&& add) {
    return buffer_.with([&](Buffer& b) {
      Appended<decltype(add(b.text))> appended{.end = std::forward<Add>(add)(b.text)};
      b.output_tokens += 1;
      if (b.closed) return appended;
      b.tokens.push_back(token);
      b.news = true;
      appended.announce = !b.told;
      return appended;
    });
  }
  // Lane, of a request with a reader: the last text, of no token of its own.
  template <class Add>
  void append_rest(Add&& add) {
    buffer_.with([&](Buffer& b) {
      std::forward<Add>(add)(b.text);
      b.news = b.news || (!b.closed && b.text.size() > b.read);
    });
  }
  // Lane, before the first token: room for as much, so that a pass takes nothing from the heap.
  void reserve(std::size_t text_bytes, std::size_t tokens);
  // Lane: gives back what reserve() took and was not needed; the reader stays away for a while.
  void trim();
  // Lane: how far the reader is behind, and whether that is too far: more than `bytes_max`, or,
  // until it has caught up, more than half of it. Sets `held_back` under the lock of take(): the
  // reader either made it small enough here, or sees afterwards that it is waited for.
  struct Reader {
    std::size_t unread_bytes = 0;
    bool behind = false;
  };
  Reader look_at_reader(std::size_t bytes_max);
  // Lane: the last thing that happens to a request. If it has a reader, its text is the one here.
  void finish(Completion completion);
  bool finished() const { return finished_.load(); }

  // The reader: what came since the last call, merged. `any`: something did.
  struct Taken {
    bool any = false;
    std::int32_t output_tokens = 0;  // so far
  };
  Taken take(StreamPiece& piece);
  // The reader of a stream: it takes no more.
  void close();

  // Dispatcher: the end, if it has come. Text that came before it can still be taken.
  std::optional<Completion> take_end();
  // Dispatcher: it is delivered once more, after `before_end`.
  void put_back(Completion completion);
  // Dispatcher: there is something for the stream that was not announced since its last take; it is
  // from now on.
  bool announce();
  // Dispatcher, the last thing: makes the caller's future ready.
  void give_result(Completion completion);
  // Dispatcher: gives the stream its end. True: that has to be announced.
  bool give_end(const Completion& completion);

  // True for the caller that has to hand this request to the dispatcher; false when it is on its
  // way there already.
  bool claim_dispatch() { return !dispatching_.exchange(true); }
  void release_dispatch() { dispatching_.store(false); }
  bool has_news() const;

 private:
  struct Buffer {
    std::string text;             // all of it, if it has a reader; else empty
    std::size_t read = 0;         // bytes of it that were taken
    std::vector<TokenId> tokens;  // not taken
    std::int32_t output_tokens = 0;
    bool news = false;              // since the last take
    bool told = false;              // the stream's reader knows of them
    bool closed = false;            // it takes no more
    std::optional<Completion> end;  // the dispatcher's
    // The stream's; its text is the one above, and of its tokens the last `tokens_left` are unread.
    std::optional<Completion> last;
    std::size_t tokens_left = 0;
  };
  mutable Guarded<Buffer> buffer_;
  std::atomic<bool> dispatching_{false};
  std::atomic<bool> finished_{false};
  Guarded<RequestPlace> place_;
};

// Its text was taken, or will not be taken any more: its executor may have waited for that.
void tell_drained(RequestState& request);

}  // namespace choir
