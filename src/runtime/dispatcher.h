// The threads that run user code: callbacks and the end of futures. Never a lane.
#pragma once

#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "base/guarded.h"
#include "runtime/request_state.h"

namespace choir {

class Dispatcher {
 public:
  Dispatcher() = default;
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  void start(int threads);
  // Delivers what is queued, then ends the threads.
  void stop();

  // Something came for this request. Each request is in the queue at most once, so the queue is
  // as long as the number of active requests. Any thread; never blocks.
  void notify(std::shared_ptr<RequestState> request);

  // Whether the calling thread is a dispatcher's, of any node: a blocking call would then wait for
  // itself.
  static bool on_dispatcher_thread();

  // Delivers everything queued on the calling thread; for the simulator, which has no threads.
  void run_here();

 private:
  struct Queue {
    std::deque<std::shared_ptr<RequestState>> requests;
    bool stopping = false;
  };
  void loop();
  void begin_end(const std::shared_ptr<RequestState>& request, Completion completion);
  void deliver(const std::shared_ptr<RequestState>& request, std::string& text);

  const std::shared_ptr<Monitor<Queue>> queue_ = std::make_shared<Monitor<Queue>>();
  std::vector<std::thread> threads_;
};

// The error of a blocking call that was made inside a callback; names what to use instead.
Status refuse_inside_callback(const char* call, const char* instead);

}  // namespace choir
