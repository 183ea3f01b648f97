// One load of one executor, shared by all that wait for it. Any thread; outlives the node.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/change_count.h"
#include "base/clock.h"
#include "base/patience.h"
#include "choir/ids.h"
#include "choir/load.h"

namespace choir {

class LoadFlight {
 public:
  LoadFlight(ExecutorId id, std::string name) : executor(id), executor_name(std::move(name)) {}

  const ExecutorId executor;
  const std::string executor_name;

  // A ticket joins. False where the load has ended or was given up: another one has to be made, and
  // `on_end` is as it was. Else it is taken, and called by end(); it may be empty.
  bool join(std::function<void()>& on_end);
  // Something waits for it that has no ticket. False as above.
  bool join_for_good();
  // A ticket was cancelled.
  void leave();
  // The thread that loads. begin() is false where it is not wanted any more.
  bool begin();
  // True: go on.
  bool progress(float fraction);
  // `told`: counts the end before anybody who waits for it goes on.
  void end(Status result, ChangeCount& told);

  // Whether something waits for it that has no ticket.
  bool for_good() const;
  LoadState state() const;
  // True: it has ended.
  bool wait_until(const Clock& clock, Instant end) const;

 private:
  struct State {
    LoadState told;
    int tickets = 0;
    std::vector<std::function<void()>> on_end = {};
    bool for_good = false;
    bool closed = false;  // it has ended, or is just being given up: no request joins any more
    bool given_up() const { return !for_good && tickets == 0; }
    bool ended() const {
      return told.phase == LoadState::Phase::kLoaded || told.phase == LoadState::Phase::kFailed;
    }
  };
  mutable PatientMonitor<State> state_;
};

}  // namespace choir
