// A fake engine whose passes a test can hold and count.
#pragma once

#include <memory>

#include "base/guarded.h"
#include "sim/fake_engine.h"

namespace choir {

class PassGate {
 public:
  // From now on a pass stands still as soon as it has begun; the count begins again.
  void close() {
    state_.change([](State& s) { s = {.open = false, .inside = s.inside}; });
  }
  void open() {
    state_.change([](State& s) { s.open = true; });
  }
  // Returns when a pass stands in the closed gate.
  void await_pass() {
    state_.wait([](const State& s) { return !s.open && s.inside > 0; });
  }
  bool inside() const {
    return state_.with([](const State& s) { return s.inside > 0; });
  }
  // Times that a pass looked at its signal since close(): once, and once for each slice.
  int ticks() const {
    return state_.with([](const State& s) { return s.ticks; });
  }
  void pass() {
    state_.change([](State& s) {
      ++s.ticks;
      ++s.inside;
    });
    state_.wait([](const State& s) { return s.open; });
    state_.change([](State& s) { --s.inside; });
  }

 private:
  struct State {
    bool open = true;
    int inside = 0;
    int ticks = 0;
  };
  Monitor<State> state_;
};

// The fake backend, for tests that make one of its things themselves.
class PlainBackend : public Backend {
 public:
  Result<ExecutorBytes> measure(const std::string& path, const EngineConfig& config) override {
    return fake_.measure(path, config);
  }
  Result<std::shared_ptr<const Model>> load(const std::string& path,
                                            const LoadProgress& progress) override {
    return fake_.load(path, progress);
  }
  Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                const EngineConfig& config) override {
    return fake_.create_engine(std::move(model), config);
  }
  std::unique_ptr<Pool> create_pool(std::span<const int> cpus) override {
    return fake_.create_pool(cpus);
  }

 private:
  sim::FakeBackend fake_;
};

class GatedBackend final : public PlainBackend {
 public:
  explicit GatedBackend(std::shared_ptr<PassGate> gate) : gate_(std::move(gate)) {}
  Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                const EngineConfig& config) override {
    auto engine =
        std::make_unique<sim::FakeEngine>(std::move(model), config, sim::FakeRules{}, nullptr);
    engine->on_tick = [gate = gate_] { gate->pass(); };
    return std::unique_ptr<Engine>(std::move(engine));
  }

 private:
  const std::shared_ptr<PassGate> gate_;
};

}  // namespace choir
