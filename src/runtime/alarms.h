// The node's only timer: gives an executor a turn at a time that no mail announces (deadlines,
// readers that stay behind).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/threads.h"
#include "choir/ids.h"

namespace choir {

class Alarms {
 public:
  using Ring = std::function<void(ExecutorId)>;

  Alarms(const Clock& clock, Ring ring) : clock_(clock), ring_(std::move(ring)) {}
  ~Alarms();
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;

  void start();
  void stop();
  void stop_until(Instant end);  // for the exit of the process
  // Replaces the executor's alarm; nullopt takes it away.
  void set(ExecutorId id, std::optional<Instant> at);
  // Keeps the earlier one of this and what is set.
  void set_earlier(ExecutorId id, Instant at);
  // What the thread does, for who has not started one: rings those that are due, and says when the
  // next one is.
  void ring_due();
  std::optional<Instant> next() const;

 private:
  struct State {
    std::map<ExecutorId, Instant> alarms;
    std::uint64_t version = 0;  // grows when somebody may have to wake earlier
    bool stopping = false;
  };
  // Takes those out whose time has come.
  static std::vector<ExecutorId> take_due(State& s, Instant now);
  void loop();

  const Clock& clock_;
  const Ring ring_;
  Monitor<State> state_;
  Threads thread_;
};

}  // namespace choir
