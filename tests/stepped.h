// What worlds in virtual time have in common that go on only where their test says so.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "base/patience.h"
#include "sim/driven_node.h"

namespace choir {

// A broken rule fails the test.
inline sim::Stage stage_of_test() {
  sim::Stage stage;
  stage.broken = [](const std::string& what) { ADD_FAILURE() << what; };
  stage.on_tick = [] {};
  stage.after_turn = [](Executor&) {};
  return stage;
}

// `call` waits, and the steps of `world` are what happens meanwhile. Where nothing happens, a
// millisecond passes.
template <class World, class Call>
auto while_stepping(World& world, Call&& call) {
  const std::function<void()> others = [&world] {
    if (!world.step()) world.clock().advance(std::chrono::milliseconds(1));
  };
  instead_of_sleeping = &others;
  auto got = std::forward<Call>(call)();
  instead_of_sleeping = nullptr;
  return got;
}

}  // namespace choir
