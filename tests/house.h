// Nodes in virtual time that have one clock: they go on only where the test says so.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/patience.h"
#include "sim/driven_node.h"

namespace choir {

class House {
 public:
  explicit House(int nodes) {
    stage_.broken = [](const std::string& what) { ADD_FAILURE() << what; };
    stage_.on_tick = [] {};
    stage_.after_turn = [](Executor&) {};
    for (int i = 0; i < nodes; ++i)
      nodes_.push_back(
          std::make_unique<sim::DrivenNode>(stage_, NodeConfig{}, 1, sim::FakeRules{}));
  }
  Runtime& operator[](std::size_t i) { return nodes_[i]->runtime(); }
  std::size_t size() const { return nodes_.size(); }
  ManualClock& clock() { return stage_.clock; }

  // What comes next in any of them; false: nothing.
  bool step() {
    for (const auto& node : nodes_) {
      node->runtime().parts().background.run_here();
      node->give_turns();
    }
    std::optional<Instant> next;
    for (const auto& node : nodes_)
      if (const auto at = node->next_event()) next = next ? std::min(*next, *at) : *at;
    if (next && *next > clock().now()) clock().set(*next);
    for (const auto& node : nodes_) {
      node->catch_up();
      node->deliver();
    }
    return next.has_value();
  }
  void finish() {
    while (step()) {}
  }
  // `call` waits: this is what happens meanwhile.
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
  sim::Stage stage_;
  std::vector<std::unique_ptr<sim::DrivenNode>> nodes_;
};

}  // namespace choir
