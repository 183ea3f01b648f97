// The threads that do for the event loop what takes longer than an event may: reading bodies,
// rendering and tokenizing prompts, and finding and changing models.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/workers.h"
#include "choir/result.h"

namespace choir::serve {

// What work waits for, so that it holds up none of another kind. Nothing that waits for the load of
// a model is work of a door: a LoadTicket is watched instead.
enum class Door : std::uint8_t {
  kQuick,     // milliseconds of compute
  kHeads,     // the head of a model's file is read, tenths of a second
  kFiles,     // a file that was not seen before is tried, which takes seconds
  kMemory,    // models leave or change their size, one after another: it waits for loads
  kSettings,  // the pass of a model ends
};

class Doors {
 public:
  // kUnavailable: no threads can be had.
  static Result<std::unique_ptr<Doors>> create();

  // Any thread; does not block. kOverloaded: too much waits already.
  Status post_to(Door door, std::function<void()> work);
  Status post(std::function<void()> work) { return post_to(Door::kQuick, std::move(work)); }

 private:
  Doors(std::unique_ptr<Workers> quick, std::unique_ptr<Workers> slow)
      : quick_(std::move(quick)), slow_(std::move(slow)) {}
  std::unique_ptr<Workers> quick_;
  std::unique_ptr<Workers> slow_;  // all but the quick; ends first: its work posts to the other
};

}  // namespace choir::serve
