// The threads that do for the event loop what takes longer than an event may: reading bodies,
// rendering and tokenizing prompts, and finding models.
#pragma once

#include <functional>
#include <memory>

#include "base/workers.h"
#include "choir/result.h"

namespace choir::serve {

class Doors {
 public:
  // kUnavailable: no threads can be had.
  static Result<std::unique_ptr<Doors>> create();

  // Any thread; does not block. kOverloaded: too much waits already.
  Status post(std::function<void()> work) { return quick_->post(kDoor, std::move(work)); }
  // For what may take seconds: it does not hold up what is posted with post().
  Status post_slow(std::function<void()> work) { return slow_->post(kDoor, std::move(work)); }

 private:
  static constexpr Workers::Key kDoor = 1;  // only so much of one key may wait
  Doors(std::unique_ptr<Workers> quick, std::unique_ptr<Workers> slow)
      : quick_(std::move(quick)), slow_(std::move(slow)) {}
  std::unique_ptr<Workers> quick_;
  std::unique_ptr<Workers> slow_;  // ends first: its work posts to the other
};

}  // namespace choir::serve
