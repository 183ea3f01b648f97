// A node on the fake engine, and small executors and requests for it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "runtime/runtime.h"
#include "sim/fake_engine.h"

namespace choir {

inline Machine machine_of(int cores) {
  Machine machine;
  machine.cores = cores;
  machine.cpus_allowed.assign(static_cast<std::size_t>(cores), -1);
  machine.memory_bytes = machine.memory_available = 8ULL << 30;
  return machine;
}

inline std::shared_ptr<Runtime> start(NodeConfig config = {}, sim::FakeRules rules = {}) {
  auto runtime = Runtime::create(config, machine_of(2), std::make_unique<sim::FakeBackend>(rules));
  EXPECT_TRUE(runtime) << runtime.error().message;
  return *runtime;
}

inline ExecutorConfig executor(const std::string& name, std::int32_t sequences = 4) {
  ExecutorConfig config;
  config.name = name;
  config.path = name + ".gguf";
  config.context_tokens = 512;
  config.sequences_max = sequences;
  config.batch_tokens_max = 64;
  return config;
}

inline Request request(const std::string& name, const std::string& text,
                       std::int32_t max_tokens = 16) {
  Request r;
  r.executor = name;
  r.text = text;
  r.max_tokens = max_tokens;
  r.ignore_eos = true;
  return r;
}

}  // namespace choir
