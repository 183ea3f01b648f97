// What every thread of a random run did last, and an end with a reason for a run that stands still.
//
// This is the one place of the unit tests with a real clock: that nothing happens any more cannot
// be seen without one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <thread>

#include "base/guarded.h"

namespace choir::parallel {

class Watchdog {
 public:
  static constexpr std::size_t kThreads = 8;
  static constexpr std::size_t kCalls = 12;  // of each thread, that are told

  Watchdog();
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void begin(std::uint64_t seed);
  // Thread `index` is about to do this. No step of any thread for a minute: the process aborts
  // with the seed and the last calls.
  void step(std::size_t index, std::string call);
  // The same for the thread that belongs to none of them.
  void step(std::string call) { step(kThreads - 1, std::move(call)); }

 private:
  struct State {
    std::uint64_t seed = 0;
    std::uint64_t steps = 0;
    std::array<std::array<std::string, kCalls>, kThreads> calls;
    std::array<std::uint64_t, kThreads> next{};
    bool stopping = false;
  };
  void loop();

  Monitor<State> state_;
  std::thread thread_;
};

}  // namespace choir::parallel
