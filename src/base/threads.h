// Threads of ours, and which threads may wait for their end.
//
// A thread that was started here may not join others (it may be one of them, or be what they wait
// for): what joins threads when it ends is handed to end_where_it_may_join() by the last thread
// that lets go of it.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/process_exit.h"

namespace choir {

// One owner, which ends them. Any thread may call.
class Threads {
 public:
  Threads() = default;
  ~Threads() { join(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  // Throws std::system_error where no thread can be had.
  void start(std::function<void()> work);
  // Waits for all of them. Not on one of them.
  void join();
  // For the exit of the process: waits until then for all but the calling one. Those that have not
  // ended are not waited for any more and run until the process is gone. True: there are none.
  // Another thread that is in join() meanwhile returns only when all have ended.
  bool join_until(const Clock& clock, Instant end);

 private:
  struct State {
    std::vector<std::thread> threads;
    int alive = 0;
  };
  // The threads' own too: one of them may be left behind.
  const std::shared_ptr<Monitor<State>> state_ = std::make_shared<Monitor<State>>();
};

// False on the threads of any Threads.
bool may_join();

// Calls `end` here if this thread may join, else on a thread of the process that is there for this.
// At the exit of the process that thread is given time to do all of it.
void end_where_it_may_join(std::function<void()> end);

// The deleter of what joins threads at its end. While the process exits nothing is deleted.
template <class T>
void delete_where_it_may_join(T* object) {
  if (process_exits())
    keep_for_ever(object);
  else
    end_where_it_may_join([object] { delete object; });
}

}  // namespace choir
