// GlobalParallelLLMExecutionSystem: one manager, a configuration by names, and the duties that it
// turns on.
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "base/log.h"
#include "base/process_exit.h"
#include "base/scope_end.h"
#include "base/threads.h"
#include "choir/text.h"
#include "facade/boundary.h"
#include "facade/last_error.h"
#include "facade/manager_inside.h"

namespace choir::parallel {
namespace {

using Configuration = std::map<std::string, std::string>;

// What a key means while it is not set.
const Configuration& defaults() {
  static const auto& defaults = *new Configuration{
      {"max_llms", "16"},
      {"execution_policy", "balanced"},
      {"load_balancing_strategy", "least_loaded"},
      {"auto_cleanup", "disabled"},
      {"auto_cleanup_interval_s", "30"},
      {"idle_unload_s", "300"},
      {"system_optimization", "disabled"},
      {"system_optimization_interval_s", "3600"},
      {"profiling", "disabled"},
      {"profiling_interval_s", "60"},
  };
  return defaults;
}

auto bad(const std::string& key, const std::string& value, const std::string& allowed) {
  return fail(Code::kInvalidArgument,
              key + " is '" + printable_line(value, 60) + "', allowed " + allowed);
}

// A duty of the background thread.
struct Duty {
  bool on = false;
  Nanos every{0};
};

struct Settings {
  int llms_max = 16;
  std::string policy;
  std::string balance;
  double idle_unload = 300;
  Duty cleanup;
  Duty optimization;
  Duty profiling;
};

Result<double> number_of(const std::string& key, const std::string& text, double least,
                         double most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= least) || value > most)
    return bad(key, text, std::to_string(least) + " .. " + std::to_string(most));
  return value;
}

Result<Settings> read(const Configuration& given) {
  const auto value = [&](const std::string& key) {
    const auto found = given.find(key);
    return found != given.end() ? found->second : defaults().at(key);
  };
  const auto on = [&](const std::string& key) -> Result<bool> {
    const std::string text = value(key);
    if (text == "enabled" || text == "true") return true;
    if (text == "disabled" || text == "false") return false;
    return bad(key, text, "enabled or disabled");
  };
  const auto duty = [&](const std::string& key) -> Result<Duty> {
    const bool is_on = CHOIR_TRY(on(key));
    const std::string interval = key + "_interval_s";
    const double seconds = CHOIR_TRY(number_of(interval, value(interval), 0.01, 1e9));
    return Duty{is_on, Nanos{static_cast<Nanos::rep>(seconds * 1e9)}};
  };
  Settings s;
  const double llms = CHOIR_TRY(number_of("max_llms", value("max_llms"), 1, 1024));
  s.llms_max = static_cast<int>(llms);
  if (s.llms_max != llms) return bad("max_llms", value("max_llms"), "whole numbers");
  s.idle_unload = CHOIR_TRY(number_of("idle_unload_s", value("idle_unload_s"), 0, 1e9));
  s.policy = value("execution_policy");
  s.balance = value("load_balancing_strategy");
  s.cleanup = CHOIR_TRY(duty("auto_cleanup"));
  s.optimization = CHOIR_TRY(duty("system_optimization"));
  s.profiling = CHOIR_TRY(duty("profiling"));
  return s;
}

}  // namespace

class SystemInside {
 public:
  struct State {
    std::shared_ptr<ParallelLLMExecutionManager> manager;  // null: not initialized
    Configuration configuration = defaults();
    Settings settings = *read(defaults());
    std::uint64_t version = 0;  // of the settings: the duties' thread looks again
    std::uint64_t run = 0;      // grows with every initialize() and shutdown(): whose thread it is
    std::uint64_t duties_done = 0;
  };
  // One initialize() or shutdown() at a time. The last is of the run that is now; those before it
  // were ended on a thread that could not wait for them.
  using Duties = std::vector<std::unique_ptr<Threads>>;
  Monitor<State> state;
  Guarded<Duties> duties;
  mutable LastError error;
  const SteadyClock clock{};
  const ExitEntry at_exit{ExitEntry::Turn::kLast,
                          {.ask = [this] { state.change([](State& s) { ++s.run; }); },
                           .wait = [this](Instant end) { stop_duties_until(end); }}};

  bool report(const char* call, const Status& status) const {
    return error.report("system", call, status);
  }

  static Status apply(ParallelLLMExecutionManager& manager, const Settings& s) {
    const bool set = manager.setExecutionPolicy(s.policy) &&
                     manager.setLoadBalancingStrategy(s.balance) &&
                     manager.setMaxLLMs(s.llms_max) && manager.setIdleUnloadSeconds(s.idle_unload);
    if (!set) return fail(Code::kInvalidArgument, manager.lastError());
    if (s.profiling.on)
      manager.enableSystemProfiling();
    else
      manager.disableSystemProfiling();
    return {};
  }

  // Under `duties`.
  Status begin(Duties& its_duties);
  // The manager there was.
  std::shared_ptr<ParallelLLMExecutionManager> end();
  void run_duties(std::uint64_t run);
  void stop_duties_until(Instant end);
};

// Each duty when its time has come; a change of the settings starts all intervals anew.
void SystemInside::run_duties(std::uint64_t run) {
  std::uint64_t version = UINT64_MAX;
  std::array<Instant, 3> due{};
  for (;;) {
    std::shared_ptr<ParallelLLMExecutionManager> manager;
    std::array<Duty, 3> duty;
    Nanos wait = std::chrono::hours(1);
    bool running = true;
    const Instant now = clock.now();
    state.with([&](State& s) {
      running = s.run == run;
      manager = s.manager;
      duty = {s.settings.cleanup, s.settings.optimization, s.settings.profiling};
      if (std::exchange(version, s.version) != s.version)
        for (std::size_t i = 0; i < duty.size(); ++i) due.at(i) = now + duty.at(i).every;
    });
    if (!running) return;
    for (std::size_t i = 0; i < duty.size(); ++i) {
      if (!duty.at(i).on) continue;
      if (now >= due.at(i)) {
        if (i == 0) manager->cleanupIdleLLMs();
        if (i == 1) manager->optimizeSystem();
        if (i == 2) {
          std::string line;
          for (const auto& [key, value] : manager->getSystemProfilingData())
            line += (line.empty() ? "" : " ") + key + "=" + std::to_string(value);
          log(LogLevel::kInfo, "profile: " + line);
        }
        due.at(i) = clock.now() + duty.at(i).every;
        state.with([](State& s) { ++s.duties_done; });
      }
      wait = std::min(wait, due.at(i) - clock.now());
    }
    manager.reset();
    state.wait_for(std::max(wait, Nanos{1}),
                   [&](const State& s) { return s.run != run || s.version != version; });
  }
}

void SystemInside::stop_duties_until(Instant end) {
  duties.with([&](Duties& all) {
    for (const auto& threads : all) threads->join_until(clock, end);
  });
}

// Never destroyed: threads of the program may call it while the process exits.
GlobalParallelLLMExecutionSystem& GlobalParallelLLMExecutionSystem::getInstance() {
  static auto* const instance = new GlobalParallelLLMExecutionSystem;
  return *instance;
}

GlobalParallelLLMExecutionSystem::GlobalParallelLLMExecutionSystem()
    : inside_(std::make_unique<SystemInside>()) {}

GlobalParallelLLMExecutionSystem::~GlobalParallelLLMExecutionSystem() { shutdown(); }

bool GlobalParallelLLMExecutionSystem::initialize() {
  return done(*inside_, "initialize", [&] {
    return inside_->duties.with([&](auto& duties) { return inside_->begin(duties); });
  });
}

Status SystemInside::begin(Duties& its_duties) {
  if (state.with([](const State& s) { return s.manager != nullptr; })) return {};
  auto manager = std::make_shared<ParallelLLMExecutionManager>();
  if (!manager->initialize()) return fail(Code::kUnavailable, manager->lastError());
  CHOIR_CHECK_OK(apply(*manager, state.with([](const State& s) { return s.settings; })));
  const std::uint64_t run = state.change([&](State& s) {
    s.manager = std::move(manager);
    ++s.version;
    return ++s.run;
  });
  ScopeEnd off([this] { (void)end(); });  // where no thread can be had
  auto thread = std::make_unique<Threads>();
  thread->start([this, run] { carried_out(*this, "duties", [&] { run_duties(run); }); });
  its_duties.push_back(std::move(thread));
  off.release();
  return {};
}

std::shared_ptr<ParallelLLMExecutionManager> SystemInside::end() {
  return state.change([](State& s) {
    ++s.run;
    return std::exchange(s.manager, nullptr);
  });
}

void GlobalParallelLLMExecutionSystem::shutdown() {
  if (process_exits()) return;
  // A callback may be what a duty waits for.
  const bool waits = may_join();
  carried_out(*inside_, "shutdown", [&] {
    std::shared_ptr<ParallelLLMExecutionManager> manager;
    const auto ended = inside_->duties.with([&](auto& duties) {
      manager = inside_->end();
      return waits ? std::exchange(duties, {}) : SystemInside::Duties();
    });
    if (manager) manager->shutdown();
    for (const auto& thread : ended) thread->join();
  });
}

bool GlobalParallelLLMExecutionSystem::isInitialized() const {
  return getExecutionManager() != nullptr;
}

std::string GlobalParallelLLMExecutionSystem::lastError() const { return inside_->error.text(); }

std::shared_ptr<ParallelLLMExecutionManager> GlobalParallelLLMExecutionSystem::getExecutionManager()
    const {
  return inside_->state.with([](const auto& s) { return s.manager; });
}

namespace {

LLMExecutionResponse not_initialized(const LLMExecutionRequest& request) {
  return refusal(request, request.llmId, "the system is not initialized; call initialize() first");
}

Status system_is_off() {
  return fail(Code::kNotFound, "the system is not initialized; call initialize() first");
}

}  // namespace

std::shared_ptr<LLMExecutor> GlobalParallelLLMExecutionSystem::createLLM(
    const LLMExecutionConfig& config) {
  const auto manager = getExecutionManager();
  if (!manager) {
    (void)inside_->report("createLLM", system_is_off());
    return nullptr;
  }
  auto llm = manager->createLLM(config);
  if (!llm) (void)inside_->report("createLLM", fail(Code::kUnavailable, manager->lastError()));
  return llm;
}

bool GlobalParallelLLMExecutionSystem::destroyLLM(const std::string& llm_id) {
  const auto manager = getExecutionManager();
  if (!manager) return inside_->report("destroyLLM", system_is_off());
  return manager->destroyLLM(llm_id) ||
         inside_->report("destroyLLM", fail(Code::kNotFound, manager->lastError()));
}

std::shared_ptr<LLMExecutor> GlobalParallelLLMExecutionSystem::getLLM(
    const std::string& llm_id) const {
  const auto manager = getExecutionManager();
  return manager ? manager->getLLM(llm_id) : nullptr;
}

std::future<LLMExecutionResponse> GlobalParallelLLMExecutionSystem::executeAsync(
    const LLMExecutionRequest& request) {
  if (const auto manager = getExecutionManager()) return manager->executeAsync(request);
  std::promise<LLMExecutionResponse> refused;
  refused.set_value(not_initialized(request));
  return refused.get_future();
}

LLMExecutionResponse GlobalParallelLLMExecutionSystem::execute(const LLMExecutionRequest& request) {
  const auto manager = getExecutionManager();
  return manager ? manager->execute(request) : not_initialized(request);
}

std::vector<LLMExecutionResponse> GlobalParallelLLMExecutionSystem::executeParallel(
    const std::vector<LLMExecutionRequest>& requests) {
  if (const auto manager = getExecutionManager()) return manager->executeParallel(requests);
  std::vector<LLMExecutionResponse> refused;
  refused.reserve(requests.size());
  for (const LLMExecutionRequest& request : requests) refused.push_back(not_initialized(request));
  return refused;
}

std::vector<std::shared_ptr<LLMExecutor>> GlobalParallelLLMExecutionSystem::getAllLLMs() const {
  const auto manager = getExecutionManager();
  return manager ? manager->getAllLLMs() : std::vector<std::shared_ptr<LLMExecutor>>();
}

Metrics GlobalParallelLLMExecutionSystem::getSystemMetrics() const {
  Metrics metrics = {{"total_llms", 0},
                     {"active_requests", 0},
                     {"average_utilization", 0},
                     {"system_initialized", 0}};
  if (const auto manager = getExecutionManager()) metrics = manager->getSystemMetrics();
  inside_->state.with([&](const auto& s) {
    metrics["configuration_items"] = static_cast<double>(s.configuration.size());
    metrics["duties_done"] = static_cast<double>(s.duties_done);
  });
  return metrics;
}

bool GlobalParallelLLMExecutionSystem::setSystemConfiguration(const Configuration& configuration) {
  auto settings = read(configuration);
  if (!settings) return inside_->report("setSystemConfiguration", tl::unexpected(settings.error()));
  // Tried on a manager of its own: what is wrong in the names of policies changes nothing.
  ParallelLLMExecutionManager scratch;
  if (const Status right = SystemInside::apply(scratch, *settings); !right)
    return inside_->report("setSystemConfiguration", right);
  for (const auto& [key, value] : configuration)
    if (!defaults().contains(key))
      log(LogLevel::kWarn, "system: configuration key '" + printable_line(key, 60) +
                               "' is not known; it is kept and does nothing");
  const auto manager = inside_->state.change([&](auto& s) {
    s.configuration = configuration;
    s.settings = *settings;
    ++s.version;
    return s.manager;
  });
  return !manager ||
         inside_->report("setSystemConfiguration", SystemInside::apply(*manager, *settings));
}

Configuration GlobalParallelLLMExecutionSystem::getSystemConfiguration() const {
  return inside_->state.with([](const auto& s) { return s.configuration; });
}

bool GlobalParallelLLMExecutionSystem::registerNode(const std::string& name) {
  return done(*inside_, "registerNode", [&]() -> Status {
    if (!isInitialized()) return system_is_off();
    return CHOIR_TRY(World::get())->register_node(name);
  });
}

bool GlobalParallelLLMExecutionSystem::unregisterNode(const std::string& name) {
  return done(*inside_, "unregisterNode", [&]() -> Status {
    if (!isInitialized()) return system_is_off();
    return CHOIR_TRY(World::get())->unregister_node(name);
  });
}

std::vector<std::string> GlobalParallelLLMExecutionSystem::getNodes() const {
  if (!isInitialized()) return {};
  return told(*inside_, "getNodes", []() -> Result<std::vector<std::string>> {
    return CHOIR_TRY(World::get())->nodes();
  });
}

}  // namespace choir::parallel
