// A node without threads, in virtual time: its user gives turns to its lanes, rings its alarms
// and delivers what its dispatchers would. All of it is the product's, but for the engines.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "runtime/runtime.h"
#include "sim/fake_engine.h"

namespace choir::sim {

// What all nodes of a simulation have in common.
struct Stage {
  ManualClock clock;
  std::function<void(const std::string& what)> broken;  // a rule was
  std::function<void()> on_tick;                        // in the middle of a pass
  Nanos wait_max{0};                                    // for a turn; 0: no bound
  std::function<void(Executor&)> after_turn;
  std::set<const FakeEngine*> engines;                 // that live now
  std::function<void(SeqId from, SeqId to)> on_share;  // in any of them; may be empty
  // As FakeBackend's; may be empty.
  std::function<Status(const std::string& path, const LoadProgress& progress)> while_loading;
};

class DrivenNode {
 public:
  DrivenNode(Stage& stage, const NodeConfig& config, int cores, const FakeRules& engines);

  Runtime& runtime() { return *runtime_; }
  // Gives turns to the lanes that are free. The clock runs ahead in a turn and is set back.
  void give_turns();
  // What is due by now: turns that end, alarms.
  void catch_up();
  // Both are false where there was nothing to do.
  bool deliver() { return runtime_->parts().dispatcher.run_here(); }
  bool work_in_background() { return runtime_->parts().background.run_here(); }
  // When something happens by itself.
  std::optional<Instant> next_event() const;
  bool busy() const { return !busy_.empty(); }

  Nanos longest_wait{0};

 private:
  struct Busy {
    Lanes::Next next;
    Instant ends;
    TurnResult result;
  };
  void begin(int lane, Lanes::Next next);
  void check_layout();

  Stage& stage_;
  const int cores_;
  std::shared_ptr<Runtime> runtime_;
  std::map<int, Busy> busy_;
};

}  // namespace choir::sim
