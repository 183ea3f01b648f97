// A node of one core in virtual time, for tests: it goes on only where the test says so.
#pragma once

#include <utility>

#include "sim/driven_node.h"
#include "tests/stepped.h"

namespace choir {

class Driven {
 public:
  explicit Driven(const NodeConfig& config = {}, const sim::FakeRules& rules = {})
      : node_(stage_, config, 1, rules) {}

  Runtime& operator*() { return node_.runtime(); }
  Runtime* operator->() { return &node_.runtime(); }
  ManualClock& clock() { return stage_.clock; }
  // In the middle of each load.
  void while_loading(decltype(sim::Stage::while_loading) hook) {
    stage_.while_loading = std::move(hook);
  }

  // A turn, or what comes next by itself; false when there is nothing to come.
  bool step() {
    const bool any = step_undelivered();
    node_.deliver();
    return any;
  }
  // The same, while nobody is told anything.
  bool step_undelivered() {
    node_.give_turns();
    const auto next = node_.next_event();
    if (next && *next > clock().now()) clock().set(*next);
    node_.catch_up();
    return next.has_value();
  }
  void finish() {
    while (step()) {}
  }
  template <class Call>
  auto waiting(Call&& call) {
    return while_stepping(*this, std::forward<Call>(call));
  }

 private:
  sim::Stage stage_ = stage_of_test();
  sim::DrivenNode node_;
};

}  // namespace choir
