// The process ends while things of ours still work: main has returned, or exit() was called on
// whichever thread, also inside a callback.
//
// What owns threads has an ExitEntry. At the exit, before static objects that are older than the
// entries are destroyed, all of them are asked to stop and are given kExitTime together. Nobody
// waits for what takes longer, such as a load: it runs on until the process is gone. So from then
// on
//   - nothing that owns threads is destroyed; keep_for_ever() takes it;
//   - no callback of a user begins;
//   - nothing that our threads use may have a destructor that runs at exit: our static objects are
//     made with `new` and never deleted, and the engine's destructors are not registered
//     (cmake/ChoirEngine.cmake). exit_statics_test holds it.
// A child that was forked has none of the threads: there, an exit waits for nothing.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "choir/units.h"

namespace choir {

// A process that has been told to end is expected to be gone within 2 s.
inline constexpr std::chrono::milliseconds kExitTime{1000};

enum class ExitPhase : unsigned char {
  kNone,
  kStopping,  // everything is asked to stop; ends are still told
  kOver,      // no callback is called any more
};
ExitPhase exit_phase();
inline bool process_exits() { return exit_phase() != ExitPhase::kNone; }

class ExitEntry {
 public:
  struct Calls {
    std::function<void()> ask;          // to stop; does not wait
    std::function<void(Instant)> wait;  // until it has stopped, at most until then
  };
  enum class Turn : unsigned char {
    kFirst,  // calls callbacks of users
    kLast,   // may be busy with what cannot be stopped
  };
  ExitEntry(Turn turn, Calls calls);
  // Waits while its calls are being made.
  ~ExitEntry();
  ExitEntry(const ExitEntry&) = delete;
  ExitEntry& operator=(const ExitEntry&) = delete;

 private:
  struct Row;
  const std::shared_ptr<Row> row_;
  friend class ExitList;
};

// From now on also before static objects that were made since the last entry are destroyed. A node
// in a static object of a function is older than the object's destructor, but not its executors and
// requests.
void watch_exit();

// What may not be destroyed while the process exits. Leak checkers still find it.
void keep_for_ever(const void* object);

}  // namespace choir
