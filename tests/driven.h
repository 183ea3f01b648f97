// A node of one core in virtual time, for tests: it goes on only where the test says so.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/patience.h"
#include "sim/driven_node.h"

namespace choir {

class Driven {
 public:
  explicit Driven(const NodeConfig& config = {}, const sim::FakeRules& rules = {})
      : node_(stage_, config, 1, rules) {}

  Runtime& operator*() { return node_.runtime(); }
  Runtime* operator->() { return &node_.runtime(); }
  ManualClock& clock() { return stage_.clock; }

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
  // `call` waits: this is what happens meanwhile, and where nothing does, a millisecond passes.
  template <class Call>
  auto waiting(Call&& call) {
    const std::function<void()> others = [this] {
      if (!step()) clock().advance(std::chrono::milliseconds(1));
    };
    instead_of_sleeping = &others;
    auto got = std::forward<Call>(call)();
    instead_of_sleeping = nullptr;
    return got;
  }

 private:
  static sim::Stage made() {
    sim::Stage stage;
    stage.broken = [](const std::string& what) { ADD_FAILURE() << what; };
    stage.on_tick = [] {};
    stage.after_turn = [](Executor&) {};
    return stage;
  }
  sim::Stage stage_ = made();
  sim::DrivenNode node_;
};

}  // namespace choir
