// The node's threads for what takes long and has no caller that waits: loads, and the prompts of
// requests that came before their executor was in memory.
#pragma once

#include <functional>
#include <memory>

#include "base/workers.h"

namespace choir {

class Background {
 public:
  // Loads, and what waits for them: one at a time, so that the other thread is free for prompts.
  static constexpr Workers::Key kLoads = 1;

  Background() = default;
  ~Background() { stop(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  Status start();
  // Waits for what was posted. Not on one of its threads.
  void stop() { workers_.reset(); }
  // Work of one key runs one after the other. Any thread; does not block.
  void post(Workers::Key key, std::function<void()> work);
  // What the threads do, for the owner of a node that has started none. False: there was nothing.
  bool run_here() { return workers_->run_here(); }

 private:
  // One for loads, of which there is one at a time, and one for prompts meanwhile.
  static constexpr Workers::Limits kThreads{.threads = 2};

  std::unique_ptr<Workers> workers_ = Workers::by_hand(kThreads);
};

}  // namespace choir
