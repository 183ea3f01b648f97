// A node in virtual time whose loads are counted, and requests that are enqueued in it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "choir/observer.h"
#include "tests/driven.h"
#include "tests/fake_node.h"

namespace choir {

class Loads final : public Observer {
 public:
  void on_load(const LoadDone& load) override { ++(load.error == nullptr ? good : failed); }
  int good = 0;
  int failed = 0;
};

class ArrivalsTest : public testing::Test {
 protected:
  static NodeConfig config(const std::shared_ptr<Loads>& loads) {
    NodeConfig config;
    config.observer = loads;
    config.queue_max = 300;
    return config;
  }
  Submission enqueue(const Request& r) { return *node->enqueue(*node->prepare(r), {}); }
  // What the node's background threads do.
  void work() { node->parts().background.run_here(); }
  void tell() { node->parts().dispatcher.run_here(); }
  // What executor "a" shows when half of its weights are read.
  std::shared_ptr<std::optional<double>> watch_half() {
    auto seen = std::make_shared<std::optional<double>>();
    node.while_loading([this, seen](const std::string&, const LoadProgress& progress) -> Status {
      if (progress(0.5F)) *seen = node->executor("a")->loading;
      return {};
    });
    return seen;
  }
  static bool ready(const Submission& s) {
    return s.result.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  static ExecutorConfig missing() {
    ExecutorConfig config = executor("broken");
    config.path = "missing";
    return config;
  }

  const std::shared_ptr<Loads> loads = std::make_shared<Loads>();
  Driven node{config(loads)};
};

}  // namespace choir
