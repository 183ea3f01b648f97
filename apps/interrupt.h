// Ctrl-C: the first one asks, the second one ends the program at once.
//
// Work that can stop in good order holds a Graceful while it runs and looks at interrupted(). With
// none alive (loading, reading a prompt) the first Ctrl-C ends the program. Process-wide.
#pragma once

#include <atomic>

namespace choir::app {

// Once, first thing in main, before any thread. Also makes SIGPIPE an error of write().
void install_signals();

// True from the first Ctrl-C on; a new Graceful makes it false again. From any thread.
bool interrupted();
// The same as a flag for an interface that polls one.
const std::atomic<bool>& interrupt_flag();

// At most one alive. No copy, no move.
class Graceful {
 public:
  Graceful();
  ~Graceful();
  Graceful(const Graceful&) = delete;
  Graceful& operator=(const Graceful&) = delete;
};

}  // namespace choir::app
