// One request while it is active: what its caller's threads, the lanes and the dispatchers share.
//
// Cancel and deadline are atomics and never mail, so that a full mailbox cannot refuse them. Text
// goes through a bounded buffer: the lane appends, a dispatcher takes.
#pragma once

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "base/guarded.h"
#include "choir/node.h"
#include "choir/request.h"

namespace choir {

class RequestState {
 public:
  RequestState(RequestId its_id, ExecutorId its_executor, Instant when, Instant end_by,
               Callbacks whom_to_tell)
      : id(its_id),
        executor(its_executor),
        submitted(when),
        deadline(end_by),
        callbacks(std::move(whom_to_tell)) {}

  const RequestId id;
  const ExecutorId executor;
  const Instant submitted;
  const Instant deadline;  // Instant{}: none
  const Callbacks callbacks;
  std::promise<Completion> promise;
  std::atomic<bool> cancelled{false};
  std::atomic<bool> held_back{false};  // its executor waits for the reader

  bool streams() const { return static_cast<bool>(callbacks.on_event); }

  // Lane: adds what has become certain. Returns the bytes that now wait for the reader.
  std::size_t append(std::string_view text, std::int32_t output_tokens);
  std::size_t unread_bytes() const;
  // Lane: the last thing that happens to a request.
  void finish(Completion completion);

  // Dispatcher: what came since the last call, merged into one event.
  struct Taken {
    bool any = false;
    std::int32_t output_tokens = 0;
    std::optional<Completion> end;  // set once, in the last one
  };
  Taken take(std::string& text);

  // True for the caller that has to hand this request to the dispatcher; false when it is on its
  // way there already.
  bool claim_dispatch() { return !dispatching_.exchange(true); }
  void release_dispatch() { dispatching_.store(false); }
  bool has_news() const;

 private:
  struct Buffer {
    std::string text;
    std::int32_t output_tokens = 0;
    bool news = false;
    std::optional<Completion> end;
  };
  mutable Guarded<Buffer> buffer_;
  std::atomic<bool> dispatching_{false};
};

}  // namespace choir
