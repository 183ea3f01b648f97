#include "tests/parallel_random/stage.h"

#include <gtest/gtest.h>

#include <thread>

#include "sim/fake_engine.h"

namespace choir::parallel {
namespace {

bool encodes(const std::string& path) { return path.find("encoder") != std::string::npos; }

// The fake backend, with an encoder, and engines that let other threads run in the middle of a
// pass: it takes no time, and nothing would ever meet in it.
class RestlessBackend final : public Backend {
 public:
  explicit RestlessBackend(sim::FakeRules rules) : fake_(rules) {}
  Result<ExecutorBytes> measure(const std::string& path, const EngineConfig& config) override {
    return fake_.measure(path, config);
  }
  Result<std::shared_ptr<const Model>> load(const std::string& path,
                                            const LoadProgress& progress) override {
    std::this_thread::yield();
    if (!encodes(path)) return fake_.load(path, progress);
    return std::static_pointer_cast<const Model>(
        std::make_shared<const sim::FakeModel>(1 << 20, /*generates=*/false));
  }
  Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                const EngineConfig& config) override {
    auto engine = CHOIR_TRY(fake_.create_engine(std::move(model), config));
    static_cast<sim::FakeEngine&>(*engine).on_tick = [] { std::this_thread::yield(); };
    return engine;
  }
  std::unique_ptr<Pool> create_pool(std::span<const int> cpus) override {
    return fake_.create_pool(cpus);
  }

 private:
  sim::FakeBackend fake_;
};

// Tells the list of every node that `make` makes.
World::Parts listed(Engines& engines, std::function<Result<std::shared_ptr<Runtime>>()> make) {
  engines.nodes = std::make_shared<Guarded<std::vector<std::weak_ptr<Runtime>>>>();
  World::Parts parts;
  parts.make_node = [make = std::move(make),
                     nodes = engines.nodes]() -> Result<std::shared_ptr<Runtime>> {
    auto node = CHOIR_TRY(make());
    nodes->with([&](auto& list) { list.push_back(node); });
    return node;
  };
  parts.resolve = [](const std::string& name) -> Result<std::string> { return name; };
  return parts;
}

}  // namespace

Engines fake_engines(std::uint64_t seed) {
  Dice dice(seed ^ 0xE0617E5U);
  sim::FakeRules rules;
  if (dice.one_in(4)) rules.no_cells_every = 7;
  if (dice.one_in(4)) rules.fail_every = 97;
  NodeConfig config;
  // Room for some four of the largest executors; every other run has room for all.
  if (dice.one_in(2)) config.memory_bytes_max = 40'000;
  if (dice.one_in(4)) config.queue_max = 8;
  if (dice.one_in(4)) config.dispatchers = 1;
  if (dice.one_in(4)) config.stream_bytes_max = 256;
  Engines engines;
  engines.parts = listed(engines, [=] {
    Machine machine;
    machine.cores = 2;
    machine.cpus_allowed.assign(2, -1);
    machine.memory_bytes = machine.memory_available = 8ULL << 30;
    return Runtime::create(config, machine, std::make_unique<RestlessBackend>(rules));
  });
  engines.parts.inspect = [](const std::string& path) -> Result<ModelInfo> {
    if (path == "missing") return choir::fail(Code::kNotFound, "'missing' does not exist");
    return sim::FakeModel(1 << 20, !encodes(path)).info();
  };
  engines.models = {"one.gguf", "two.gguf", "missing"};
  engines.encoder = "encoder.gguf";
  return engines;
}

Engines real_engines(const std::string& model) {
  Engines engines;
  engines.parts = listed(engines, [] { return create_runtime({}); });
  engines.parts.inspect = [](const std::string& path) { return inspect_model(path); };
  engines.models = {model};
  engines.output_tokens_max = 16;
  engines.calls = 25;
  return engines;
}

Stage::Stage(std::uint64_t its_seed, Engines its_engines, Watchdog& its_watchdog)
    : seed(its_seed),
      engines(std::move(its_engines)),
      watchdog(its_watchdog),
      suspends(its_seed % 3 == 0) {
  renew_manager();
}

void Stage::renew_manager() {
  auto fresh = std::make_shared<ParallelLLMExecutionManager>();
  (void)fresh->initialize();
  old_managers_.with([&](auto& all) { all.push_back(fresh); });
  manager_.with([&](Manager& m) { m = fresh; });
}

std::vector<Manager> Stage::managers() const {
  return old_managers_.with([](const auto& all) { return all; });
}

void Stage::keep(Executor executor) {
  if (!executor) return;
  executors_.with([&](auto& all) {
    for (const Executor& one : all)
      if (one == executor) return;
    all.push_back(std::move(executor));
  });
}

Stage::Slot Stage::slot(Executor executor) {
  auto slot = std::make_shared<Guarded<Executor>>(std::move(executor));
  slots_.with([&](auto& all) { all.push_back(slot); });
  return slot;
}

void Stage::empty_slots() {
  for (const Slot& slot : slots_.with([](auto& all) { return std::exchange(all, {}); }))
    const Executor last = slot->with([](Executor& e) { return std::exchange(e, nullptr); });
}

void Stage::sent(const void* scope, const LLMExecutionRequest& request,
                 std::future<LLMExecutionResponse> future) {
  sent_.with([&](auto& all) { all.push_back({scope, request, std::move(future)}); });
}

void Stage::collect() {
  auto all = sent_.with([](auto& list) { return std::exchange(list, {}); });
  for (Sent& one : all) {
    watchdog.step("wait for '" + one.request.requestId + "' of '" + one.request.llmId + "', " +
                  one.request.inputText);
    check(one.scope, one.request, one.future.get());
  }
}

void Stage::check(const void* scope, const LLMExecutionRequest& request,
                  const LLMExecutionResponse& response) {
  if (!request.requestId.empty()) {
    if (response.requestId != request.requestId)
      fail("request '" + request.requestId + "' was answered as '" + response.requestId + "'");
  } else if (response.success && response.requestId.empty()) {
    fail("an answered request has no id");
  } else if (scope != nullptr && !response.requestId.empty()) {
    const bool fresh =
        ids_.with([&](auto& ids) { return ids[scope].insert(response.requestId).second; });
    if (!fresh) fail("two requests were given the id '" + response.requestId + "'");
  }
  if (response.success != response.error.empty())
    fail("a response with success " + std::to_string(response.success) + " says '" +
         response.error + "'");
}

void Stage::count(const void* scope, std::size_t requests) {
  counts_.with([&](auto& counts) { counts[scope] += requests; });
}

std::size_t Stage::counted(const void* scope) const {
  return counts_.with([&](const auto& counts) {
    const auto found = counts.find(scope);
    return found == counts.end() ? std::size_t{0} : found->second;
  });
}

void Stage::fail(const std::string& what) const {
  ADD_FAILURE() << what << "; CHOIR_RANDOM_SEED=" << seed;
}

}  // namespace choir::parallel
