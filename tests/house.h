// Nodes in virtual time that have one clock: they go on only where the test says so.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "sim/driven_node.h"
#include "tests/stepped.h"

namespace choir {

class House {
 public:
  explicit House(int nodes) {
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
  template <class Call>
  auto waiting(Call&& call) {
    return while_stepping(*this, std::forward<Call>(call));
  }

 private:
  sim::Stage stage_ = stage_of_test();
  std::vector<std::unique_ptr<sim::DrivenNode>> nodes_;
};

}  // namespace choir
