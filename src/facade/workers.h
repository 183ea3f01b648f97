// A few threads for what must not happen on a caller's or a callback's thread: loading a model that
// a request waits for, embeddings, the end of an executor that was asked for inside a callback.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/guarded.h"

namespace choir::parallel {

class Workers {
 public:
  explicit Workers(int threads);
  // What was posted is still done.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void post(std::function<void()> work);
  // Whether this is one of them, of any Workers.
  static bool on_worker_thread();

 private:
  struct Queue {
    std::deque<std::function<void()>> work;
    bool stopping = false;
  };
  void loop();

  Monitor<Queue> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace choir::parallel
