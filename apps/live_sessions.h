// What the sessions of a parallel evaluation are doing, while they do it.
//
// On a terminal one line for each, redrawn in place; else plain lines: its start, now and then its
// tokens, its end. All on standard error. A thread of its own draws, and watches for Ctrl-C.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "choir/parallel_evaluation.h"
#include "terminal.h"

namespace choir::app {

class LiveSessions {
 public:
  // on_interrupt: once, at Ctrl-C, on the drawing thread.
  LiveSessions(const ParallelConfig& config, std::function<void()> on_interrupt);
  // Draws the last state, which stays on the screen.
  ~LiveSessions();
  LiveSessions(const LiveSessions&) = delete;
  LiveSessions& operator=(const LiveSessions&) = delete;

  // From any thread, one at a time per session.
  void update(const SessionProgress& progress);

 private:
  enum class State : std::uint8_t { kWaiting, kPrompt, kWriting, kEnded };
  // `model` is written before the state leaves kWaiting and never after.
  struct Session {
    std::atomic<State> state = State::kWaiting;
    std::atomic<std::int32_t> tokens = 0;
    std::atomic<double> tokens_per_second = 0;
    std::string model;
  };

  void loop();
  void draw();
  void print_tokens_so_far() const;
  std::string line(std::size_t session, int columns) const;
  std::vector<std::size_t> visible(std::size_t rows) const;
  std::string with_model(const Session& session) const;

  const bool redraw_;
  const bool several_models_;
  std::function<void()> on_interrupt_;
  std::vector<Session> sessions_;
  LiveLines lines_;
  std::binary_semaphore ended_{0};
  std::thread drawer_;
};

}  // namespace choir::app
