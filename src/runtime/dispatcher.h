// The threads that run user code: callbacks and the end of futures. Never a lane.
//
// A request's callbacks live and die here, whatever else still holds the request: on_event and
// on_done are gone, with all that they captured, when the node no longer counts the request, and
// on_news and on_settled when its future is ready.
#pragma once

#include <deque>
#include <memory>

#include "base/callback_thread.h"
#include "base/clock.h"
#include "base/service.h"
#include "runtime/request_state.h"

namespace choir {

class Dispatcher {
 public:
  Dispatcher();
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  void start(int threads);
  // Delivers what is queued, then ends the threads.
  void stop();
  // For the exit of the process: what is queued is not delivered any more.
  void stop_until(const Clock& clock, Instant end);

  // Something came for this request. Each request is in the queue at most once, so the queue is
  // as long as the number of active requests. Any thread; never blocks.
  void notify(std::shared_ptr<RequestState> request);

  // Whether the calling thread is a dispatcher's, of any node: a blocking call would then wait for
  // itself.
  static bool on_dispatcher_thread() { return on_callback_thread(); }

  // Delivers everything queued on the calling thread, where no threads were started. False: there
  // was nothing.
  bool run_here();

 private:
  using Requests = std::deque<std::shared_ptr<RequestState>>;
  void begin_end(const std::shared_ptr<RequestState>& request, Completion completion);
  void deliver(const std::shared_ptr<RequestState>& request, StreamPiece& piece);
  void tell_end(RequestState& request, Completion completion);

  Service<Requests, std::shared_ptr<RequestState>> service_;
};

}  // namespace choir
