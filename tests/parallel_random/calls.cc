#include "tests/parallel_random/calls.h"

#include <algorithm>

#include "tests/parallel_random/arguments.h"

namespace choir::parallel {
namespace {

bool standalone(const Executor& executor) { return executor->getLLMId().starts_with("own"); }
const void* scope_of(const Executor& executor) {
  return standalone(executor) ? executor.get() : nullptr;
}

// ---- contexts

// Whatever left at the front, the rest is as it was, and whole turns came.
void look_at_context(Actor& a, const Executor& executor) {
  const LLMExecutionContext c = executor->getContext(a.dice.of(kContexts));
  const auto born = c.metadata.find("born");
  if (c.contextId != "steady" || born == c.metadata.end()) return;
  const auto& now = c.conversationHistory;
  if (now.size() % 2 != 0) a.stage.fail("a history has half a turn");
  auto& old = a.histories[{executor.get(), born->second}];
  bool grown = false;
  for (std::size_t gone = 0; gone <= old.size() && !grown; gone += 2)
    grown = old.size() - gone <= now.size() &&
            std::equal(old.begin() + static_cast<std::ptrdiff_t>(gone), old.end(), now.begin());
  if (!grown)
    a.stage.fail("a history of " + std::to_string(old.size()) + " became another of " +
                 std::to_string(now.size()));
  old = now;
}

// ---- the calls

struct Call {
  const char* name;
  std::size_t weight;
  void (*make)(Actor&);
};

void with_executor(Actor& a, const std::function<void(const Executor&)>& use) {
  if (const Executor executor = any_executor(a)) use(executor);
}
bool waits_for_embedding(Actor& a, const Executor& executor) {
  return a.stage.suspends && executor->getLLMId().find("enc") != std::string::npos;
}

template <std::vector<LLMExecutionResponse> (ParallelLLMExecutionManager::*kWay)(
    const std::vector<LLMExecutionRequest>&)>
void many(Actor& a) {
  auto all = requests(a);
  for (auto& r : all)
    if (a.stage.suspends && r.llmId == "enc") r.llmId = "a";
  const Manager m = a.stage.manager();
  a.stage.count(m.get(), all.size());
  const auto responses = (m.get()->*kWay)(all);
  if (responses.size() != all.size()) return a.stage.fail("not one answer for each request");
  for (std::size_t i = 0; i < all.size(); ++i) a.stage.check(m.get(), all[i], responses[i]);
}

const std::vector<Call>& calls() {
  static const std::vector<Call> calls = {
      // The executor.
      {"new executor", 3,
       [](Actor& a) {
         auto own = std::make_shared<AdvancedLLMExecutor>(
             config(a, "own" + std::to_string(a.dice.below(3))));
         own->onToken(callback(a.stage));
         (void)own->initialize();
         a.stage.keep(own);
       }},
      {"executor that its callback drops", 1,
       [](Actor& a) {
         auto own = std::make_shared<AdvancedLLMExecutor>(config(a, "own9"));
         if (!own->initialize()) return;
         auto slot = a.stage.slot(own);
         LLMExecutionRequest r = request(a, false);
         r.streamOutput = true;
         own->onToken([slot](const std::string&, const std::string&) {
           const Executor last = slot->with([](Executor& e) { return std::exchange(e, nullptr); });
         });
         a.stage.sent(nullptr, r, own->executeAsync(r));
       }},
      {"initialize", 2, [](Actor& a) { with_executor(a, [](auto& e) { e->initialize(); }); }},
      {"shutdown", 2, [](Actor& a) { with_executor(a, [](auto& e) { e->shutdown(); }); }},
      {"look", 2,
       [](Actor& a) {
         with_executor(a, [](auto& e) {
           e->isInitialized();
           e->getStatus();
           e->lastError();
           e->getActiveRequests();
           e->isRequestActive("r1");
           e->getAllContexts();
           e->getPerformanceMetrics();
           e->getUtilization();
           e->getProfilingData();
           e->getExecutionMode();
           e->getResourceInfo();
           e->validateResources();
           e->isModelLoaded();
         });
       }},
      {"updateConfig", 1,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           auto c = e->getConfig();
           c.parameters["shares"] = "2";
           e->updateConfig(a.dice.one_in(2) ? c : config(a, c.llmId));
         });
       }},
      {"setPriority", 1,
       [](Actor& a) {
         with_executor(a,
                       [&](auto& e) { e->setPriority(static_cast<LLMPriority>(a.dice.below(4))); });
       }},
      {"setExecutionMode", 1,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           e->setExecutionMode(static_cast<LLMExecutionMode>(a.dice.below(6)));
         });
       }},
      {"profiling", 1,
       [](Actor& a) {
         with_executor(
             a, [&](auto& e) { a.dice.one_in(2) ? e->enableProfiling() : e->disableProfiling(); });
       }},
      {"onToken", 1,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           e->onToken(a.dice.one_in(2) ? callback(a.stage) : TokenCallback());
         });
       }},
      {"execute on executor", 3,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           if (waits_for_embedding(a, e)) return;
           const auto r = request(a, true);
           a.stage.count(scope_of(e), 1);
           a.stage.check(scope_of(e), r, e->execute(r));
         });
       }},
      {"executeStreaming", 3,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           if (waits_for_embedding(a, e)) return;
           const auto r = request(a, true);
           a.stage.count(scope_of(e), 1);
           a.stage.check(scope_of(e), r, e->executeStreaming(r, callback(a.stage)));
         });
       }},
      {"executeAsync on executor", 8,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           const auto r = request(a, false);
           a.stage.count(scope_of(e), 1);
           a.stage.sent(scope_of(e), r, e->executeAsync(r));
         });
       }},
      {"cancel on executor", 2,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           const auto active = e->getActiveRequests();
           e->cancelExecution(active.empty() ? "r1" : a.dice.of(active));
         });
       }},
      {"embed", 1,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           if (!a.stage.suspends) (void)e->embed("text");
         });
       }},
      {"createContext", 5,
       [](Actor& a) { with_executor(a, [&](auto& e) { e->createContext(context(a)); }); }},
      {"updateContext", 1,
       [](Actor& a) { with_executor(a, [&](auto& e) { e->updateContext("c0", context(a)); }); }},
      {"deleteContext", 1,
       [](Actor& a) {
         with_executor(a, [&](auto& e) { e->deleteContext(a.dice.one_in(2) ? "c0" : "c1"); });
       }},
      {"getContext", 5,
       [](Actor& a) { with_executor(a, [&](auto& e) { look_at_context(a, e); }); }},
      {"suspend", 2,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           if (a.stage.suspends) e->suspend();
         });
       }},
      {"resume", 3, [](Actor& a) { with_executor(a, [&](auto& e) { e->resume(); }); }},
      {"migrate", 4,
       [](Actor& a) { with_executor(a, [&](auto& e) { e->migrate(a.dice.of(kNodes)); }); }},
      {"clone", 2,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           if (!waits_for_embedding(a, e)) e->clone(a.dice.one_in(2) ? "x1" : "x2");
         });
         for (const auto& llm : a.stage.manager()->getAllLLMs()) a.stage.keep(llm);
       }},
      {"scale", 3,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           e->scale(1 + a.dice.below(4), a.stage.engines.length_max >> a.dice.below(3));
         });
       }},
      {"optimize", 1,
       [](Actor& a) {
         with_executor(a, [&](auto& e) {
           if (!a.stage.suspends && a.dice.one_in(4)) e->optimize();
         });
       }},
      {"preloadModel", 2, [](Actor& a) { with_executor(a, [](auto& e) { e->preloadModel(); }); }},
      {"unloadModel", 3, [](Actor& a) { with_executor(a, [](auto& e) { e->unloadModel(); }); }},
      // The manager.
      {"new manager", 1,
       [](Actor& a) {
         if (a.dice.one_in(3)) a.stage.renew_manager();
       }},
      {"manager initialize", 2, [](Actor& a) { a.stage.manager()->initialize(); }},
      {"manager shutdown", 1,
       [](Actor& a) {
         if (a.dice.one_in(3)) a.stage.manager()->shutdown();
       }},
      {"manager look", 2,
       [](Actor& a) {
         const Manager m = a.stage.manager();
         m->isInitialized();
         m->lastError();
         m->getLLMsByPriority(LLMPriority::HIGH);
         m->getLLMsByMode(LLMExecutionMode::BATCH);
         m->getActiveRequests();
         m->getActiveRequestsByLLM(a.dice.of(kIds));
         m->getSystemMetrics();
         m->getLLMCounts();
         m->getExecutionMetrics();
         m->getSystemProfilingData();
         m->getMaxLLMs();
         m->getExecutionPolicy();
         m->getLoadBalancingStrategy();
         m->getIdleUnloadSeconds();
       }},
      {"createLLM", 8,
       [](Actor& a) {
         const std::string id = a.dice.of(kIds);
         const auto llm = a.stage.manager()->createLLM(config(a, id));
         if (llm && a.dice.one_in(2)) llm->onToken(callback(a.stage));
         a.stage.keep(llm);
       }},
      {"destroyLLM", 2, [](Actor& a) { a.stage.manager()->destroyLLM(a.dice.of(kIds)); }},
      {"executeAsync on manager", 12,
       [](Actor& a) {
         const Manager m = a.stage.manager();
         const auto r = request(a, false);
         a.stage.count(m.get(), 1);
         a.stage.sent(m.get(), r, m->executeAsync(r));
       }},
      {"execute on manager", 3,
       [](Actor& a) {
         const Manager m = a.stage.manager();
         auto r = request(a, true);
         if (a.stage.suspends && r.llmId == "enc") r.llmId = "a";
         a.stage.count(m.get(), 1);
         a.stage.check(m.get(), r, m->execute(r));
       }},
      {"cancelExecution", 2,
       [](Actor& a) { a.stage.manager()->cancelExecution("r" + std::to_string(a.dice.below(6))); }},
      {"cancelAllExecutions", 1, [](Actor& a) { a.stage.manager()->cancelAllExecutions(); }},
      {"executeParallel", 3, many<&ParallelLLMExecutionManager::executeParallel>},
      {"executePipelined", 3, many<&ParallelLLMExecutionManager::executePipelined>},
      {"executeBatch", 4, many<&ParallelLLMExecutionManager::executeBatch>},
      {"executeHybrid", 4, many<&ParallelLLMExecutionManager::executeHybrid>},
      {"optimizeSystem", 1,
       [](Actor& a) {
         if (!a.stage.suspends && a.dice.one_in(8)) a.stage.manager()->optimizeSystem();
       }},
      {"balanceLoad", 6, [](Actor& a) { a.stage.manager()->balanceLoad(); }},
      {"cleanupIdleLLMs", 2, [](Actor& a) { a.stage.manager()->cleanupIdleLLMs(); }},
      {"validateSystem", 1, [](Actor& a) { a.stage.manager()->validateSystem(); }},
      {"system profiling", 1,
       [](Actor& a) {
         const Manager m = a.stage.manager();
         a.dice.one_in(2) ? m->enableSystemProfiling() : m->disableSystemProfiling();
       }},
      {"settings", 2,
       [](Actor& a) {
         const Manager m = a.stage.manager();
         m->setMaxLLMs(static_cast<int>(a.dice.below(12)));
         m->setExecutionPolicy(a.dice.of(kPolicies));
         m->setLoadBalancingStrategy(a.dice.of(kStrategies));
         m->setIdleUnloadSeconds(a.dice.one_in(2) ? 0 : 1);
       }},
      // The system.
      {"system initialize", 4, [](Actor&) { system_of_all().initialize(); }},
      {"system shutdown", 1, [](Actor&) { system_of_all().shutdown(); }},
      {"system look", 1,
       [](Actor&) {
         system_of_all().isInitialized();
         system_of_all().lastError();
         system_of_all().getAllLLMs();
         system_of_all().getSystemMetrics();
         system_of_all().getSystemConfiguration();
         system_of_all().getNodes();
       }},
      {"system createLLM", 2,
       [](Actor& a) { a.stage.keep(system_of_all().createLLM(config(a, a.dice.of(kIds)))); }},
      {"system destroyLLM", 1, [](Actor& a) { system_of_all().destroyLLM(a.dice.of(kIds)); }},
      {"system getLLM", 1, [](Actor& a) { a.stage.keep(system_of_all().getLLM(a.dice.of(kIds))); }},
      {"system executeAsync", 4,
       [](Actor& a) {
         const auto r = request(a, false);
         a.stage.sent(nullptr, r, system_of_all().executeAsync(r));
       }},
      {"system execute", 2,
       [](Actor& a) {
         auto r = request(a, true);
         if (a.stage.suspends && r.llmId == "enc") r.llmId = "a";
         a.stage.check(nullptr, r, system_of_all().execute(r));
       }},
      {"system executeParallel", 1,
       [](Actor& a) {
         auto all = requests(a);
         for (auto& r : all)
           if (a.stage.suspends && r.llmId == "enc") r.llmId = "b";
         if (system_of_all().executeParallel(all).size() != all.size())
           a.stage.fail("not one answer for each request");
       }},
      {"setSystemConfiguration", 1,
       [](Actor& a) {
         system_of_all().setSystemConfiguration(
             {{"auto_cleanup", a.dice.one_in(2) ? "enabled" : "disabled"},
              {"auto_cleanup_interval_s", "0.01"},
              {"idle_unload_s", "0"},
              {"profiling", a.dice.one_in(3) ? "enabled" : "disabled"},
              {"profiling_interval_s", "0.02"},
              {"execution_policy", a.dice.of(kPolicies)}});
       }},
      {"registerNode", 4, [](Actor& a) { system_of_all().registerNode(a.dice.of(kNodes)); }},
      {"unregisterNode", 2, [](Actor& a) { system_of_all().unregisterNode(a.dice.of(kNodes)); }},
  };
  return calls;
}

}  // namespace

void call(Actor& actor) {
  std::size_t all = 0;
  for (const Call& one : calls()) all += one.weight;
  std::size_t chosen = actor.dice.below(all);
  for (const Call& one : calls()) {
    if (chosen < one.weight) {
      actor.step(one.name);
      one.make(actor);
      actor.step("between two calls");
      return;
    }
    chosen -= one.weight;
  }
}

}  // namespace choir::parallel
