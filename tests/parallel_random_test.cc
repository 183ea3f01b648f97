// Calls of the parallel execution system by chance, from several threads at once: nothing crashes,
// nothing hangs, everything is answered once, and at the end nothing is left.
//
// CHOIR_RANDOM_SEQUENCES, CHOIR_RANDOM_REAL_SEQUENCES: how many runs; CHOIR_RANDOM_SEED: this one
// alone. A seed is not a schedule: a failure of threads may want some repeats (--gtest_repeat).
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "base/log.h"
#include "tests/parallel_random/calls.h"
#include "tests/parallel_random/stage.h"
#include "tests/real_models.h"

namespace choir::parallel {
namespace {

std::optional<std::uint64_t> number(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

// Comes true, or the watchdog tells.
void wait_until(const std::function<bool()>& true_at_last) {
  while (!true_at_last()) std::this_thread::yield();
}

std::vector<std::shared_ptr<Runtime>> alive(const Engines& engines) {
  return engines.nodes->with([](const auto& nodes) {
    std::vector<std::shared_ptr<Runtime>> list;
    for (const auto& node : nodes)
      if (auto one = node.lock()) list.push_back(std::move(one));
    return list;
  });
}

void everything_ends(Stage& stage) {
  auto& system = GlobalParallelLLMExecutionSystem::getInstance();
  stage.watchdog.step("system shutdown at the end");
  system.shutdown();
  for (const Manager& manager : stage.managers()) {
    stage.watchdog.step("manager shutdown at the end");
    manager->shutdown();
  }
  stage.empty_slots();
  // A callback may have made one more while the others were shut down.
  for (int round = 0; round < 3; ++round) {
    for (const Executor& executor : stage.executors()) {
      stage.watchdog.step("shutdown of '" + executor->getLLMId() + "' at the end");
      executor->shutdown();
    }
    stage.collect();
  }
}

void nothing_is_left(Stage& stage) {
  for (const Executor& executor : stage.executors()) {
    if (!executor->getActiveRequests().empty()) stage.fail("a request is active after the end");
    Metrics m = executor->getPerformanceMetrics();
    if (m["request_count"] != m["completed_count"] + m["error_count"])
      stage.fail("of " + std::to_string(m["request_count"]) + " requests of '" +
                 executor->getLLMId() + "' " + std::to_string(m["completed_count"]) + " and " +
                 std::to_string(m["error_count"]) + " have ended");
    const auto counted = static_cast<double>(stage.counted(executor.get()));
    if (executor->getLLMId().starts_with("own") && m["request_count"] != counted)
      stage.fail("'" + executor->getLLMId() + "' was given " + std::to_string(counted) +
                 " requests and counted " + std::to_string(m["request_count"]));
  }
  for (const Manager& manager : stage.managers()) {
    if (!manager->getActiveRequests().empty()) stage.fail("a request is active after the end");
    Metrics m = manager->getExecutionMetrics();
    const auto counted = static_cast<double>(stage.counted(manager.get()));
    if (m["requests_completed"] + m["requests_failed"] != counted)
      stage.fail("a manager was given " + std::to_string(counted) + " requests and counted " +
                 std::to_string(m["requests_completed"] + m["requests_failed"]));
  }
  // Executors that a callback has dropped end on a thread of their own.
  for (const auto& node : alive(stage.engines)) {
    stage.watchdog.step("no promised bytes");
    wait_until([&] { return node->info().memory_bytes_promised == 0; });
    if (node->info().requests_active != 0) stage.fail("a node has a request after the end");
  }
}

void run(std::uint64_t seed, const Engines& engines, Watchdog& watchdog) {
  watchdog.begin(seed);
  std::printf("CHOIR_RANDOM_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);  // it may be the last thing that is heard of it
  World::set_parts(engines.parts);
  {
    Stage stage(seed, engines, watchdog);
    // Every other run keeps the node from being made anew again and again.
    auto held = seed % 2 == 0 ? *World::get() : nullptr;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 3 + seed % 2; ++i)
      threads.emplace_back([&stage, i] {
        Actor actor{stage, i, Dice(stage.seed * 31 + i), {}};
        for (int n = 0; n < stage.engines.calls; ++n) call(actor);
        actor.step("done");
      });
    for (std::thread& thread : threads) thread.join();
    everything_ends(stage);
    nothing_is_left(stage);
  }
  watchdog.step("the nodes end");
  wait_until([&] { return alive(engines).empty(); });
  World::set_parts(std::nullopt);
}

void run_all(std::uint64_t count, const std::function<Engines(std::uint64_t)>& make) {
  if (std::getenv("CHOIR_LOG") == nullptr) set_log_level(LogLevel::kOff);  // refusals are wanted
  Watchdog watchdog;
  const auto only = number("CHOIR_RANDOM_SEED");
  const std::uint64_t first = only.value_or(std::random_device{}());
  for (std::uint64_t i = 0; i < (only ? 1 : count) && !testing::Test::HasFailure(); ++i)
    run(first + i, make(first + i), watchdog);
  set_log_level(LogLevel::kWarn);
}

TEST(RandomCalls, OfSeveralThreadsAreAllAnsweredAndLeaveNothing) {
  run_all(number("CHOIR_RANDOM_SEQUENCES").value_or(60), fake_engines);
}

TEST(RandomCalls, OfSeveralThreadsOnAModelToo) {
  run_all(number("CHOIR_RANDOM_REAL_SEQUENCES").value_or(3),
          [](std::uint64_t) { return real_engines(stories()); });
}

}  // namespace
}  // namespace choir::parallel
