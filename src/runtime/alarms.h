// The node's only timer: gives an executor a turn at a time that no mail announces (deadlines,
// readers that stay behind).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/service.h"
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
  // What the thread does, for a caller that has not started one: rings those that are due, and says
  // when the next one is.
  void ring_due();
  std::optional<Instant> next() const;

 private:
  using Times = std::map<ExecutorId, Instant>;
  using Due = std::vector<ExecutorId>;
  // Takes those out whose time has come.
  static Due take_due(Times& alarms, Instant now);
  std::optional<Due> take(Times& alarms, Nanos& again) const;
  static std::optional<Instant> first(const Times& alarms);
  void ring(const Due& due);

  const Clock& clock_;
  const Ring ring_;
  Service<Times, Due> service_{"alarms",
                               [this](Times& alarms, Nanos& again) { return take(alarms, again); }};
};

}  // namespace choir
