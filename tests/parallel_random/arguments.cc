#include "tests/parallel_random/arguments.h"

#include <algorithm>

namespace choir::parallel {

const std::vector<std::string> kIds = {"a", "b", "c", "d", "enc", "x1", "x2"};
const std::vector<std::string> kNodes = {"home", "n1", "n2", "n3"};
const std::vector<std::string> kContexts = {"c0", "c1", "steady", "steady", "nobody"};
const std::vector<std::string> kPolicies = {"balanced", "optimized",  "latency",
                                            "fair",     "sequential", "none such"};
const std::vector<std::string> kStrategies = {"round_robin", "least_loaded",    "priority",
                                              "fastest",     "prefix_affinity", "none such"};

LLMExecutionConfig config(Actor& a, const std::string& id) {
  const Engines& engines = a.stage.engines;
  LLMExecutionConfig c;
  c.llmId = id;
  const bool encoder = id == "enc" && !engines.encoder.empty();
  c.modelPath = encoder ? engines.encoder
                        : engines.models[a.dice.below(
                              a.dice.one_in(20) ? engines.models.size()
                                                : std::min<std::size_t>(2, engines.models.size()))];
  if (encoder) c.modelType = "BERT";
  c.batchSize = 1 + a.dice.below(4);
  c.maxSequenceLength = engines.length_max >> a.dice.below(3);
  c.mode = static_cast<LLMExecutionMode>(a.dice.below(6));
  c.priority = static_cast<LLMPriority>(a.dice.below(4));
  if (a.dice.one_in(5))
    c.parameters["store"] = a.stage.folder / ("s" + std::to_string(a.dice.below(2)));
  if (!encoder && a.dice.one_in(3)) c.parameters["group"] = "g";
  if (a.dice.one_in(8)) c.parameters["pinned"] = "true";
  if (a.dice.one_in(6)) c.parameters["park_mib_max"] = "0";
  if (a.dice.one_in(20)) c.parameters["no_such_key"] = "1";
  return c;
}

LLMExecutionRequest request(Actor& a, bool waited) {
  LLMExecutionRequest r;
  const std::size_t who = a.dice.below(kIds.size() + 3);
  r.llmId = who < kIds.size() ? kIds[who] : who == kIds.size() ? "g" : "";
  r.inputText = "text " + std::to_string(a.stage.born++);
  if (a.dice.one_in(20)) r.inputText += std::string(200, 'x');
  r.maxOutputLength = 1 + a.dice.below(a.stage.engines.output_tokens_max);
  if (a.dice.one_in(4)) r.requestId = "r" + std::to_string(a.dice.below(6));
  if (a.dice.one_in(3)) r.parameters["context_id"] = a.dice.of(kContexts);
  if (a.dice.one_in(2)) r.parameters["ignore_eos"] = "true";
  if (a.dice.one_in(4)) r.parameters["template"] = "none";
  if (a.dice.one_in(6)) r.parameters["priority"] = "critical";
  if (a.dice.one_in(6)) r.parameters["tenant"] = "t";
  if (a.dice.one_in(6)) r.parameters["tenant_weight"] = "2.5";
  if (a.dice.one_in(6)) r.parameters["reuse_scope"] = "s";
  if (a.dice.one_in(8)) r.parameters["pipeline_input"] = "previous";
  if (a.dice.one_in(8)) r.inputText += " {{previous}}";
  if (a.dice.one_in(10)) r.inputTokens = {"5", "6", "7"};
  if (a.dice.one_in(10)) r.prompt = "system";
  r.streamOutput = a.dice.one_in(3);
  if (a.dice.one_in(6) || (waited && a.stage.suspends))
    r.timeout = std::chrono::milliseconds(1 + a.dice.below(40));
  return r;
}

std::vector<LLMExecutionRequest> requests(Actor& a) {
  std::vector<LLMExecutionRequest> all(a.dice.below(6));
  for (auto& r : all) r = request(a, true);
  return all;
}

LLMExecutionContext context(Actor& a) {
  LLMExecutionContext c;
  c.contextId = a.dice.of(kContexts);
  if (c.contextId == "nobody") c.contextId.clear();
  c.metadata["born"] = std::to_string(a.stage.born++);
  if (c.contextId == "steady") return c;
  for (std::size_t i = a.dice.below(3); i > 0; --i)
    c.conversationHistory.insert(c.conversationHistory.end(), {"question", "answer"});
  if (a.dice.one_in(3)) c.maxContextLength = 60 + a.dice.below(100);
  c.maintainContext = !a.dice.one_in(4);
  return c;
}

Executor any_executor(Actor& a) {
  if (a.dice.one_in(3))
    return std::dynamic_pointer_cast<AdvancedLLMExecutor>(
        a.stage.manager()->getLLM(a.dice.of(kIds)));
  const auto all = a.stage.executors();
  // Mostly one of the last ones: the first are shut down since long.
  if (all.empty()) return nullptr;
  return all[all.size() - 1 -
             a.dice.below(std::min<std::size_t>(all.size(), a.dice.one_in(4) ? 100 : 8))];
}

namespace {

void in_callback(Stage& stage, Dice& dice, const std::string& id) {
  Actor a{stage, Watchdog::kThreads - 2, Dice(dice.below(SIZE_MAX)), {}};
  const Manager manager = stage.manager();
  const Executor executor = any_executor(a);
  const std::size_t what = a.dice.below(16);
  a.step("in a callback: " + std::to_string(what));
  switch (what) {
    case 0: {
      auto r = request(a, false);
      r.streamOutput = false;
      stage.count(manager.get(), 1);
      stage.sent(manager.get(), r, manager->executeAsync(r));
      return;
    }
    case 1:
      manager->cancelExecution(id);
      return;
    case 2:
      if (executor) executor->createContext(context(a));
      return;
    case 3:
      if (executor) executor->cancelExecution(id);
      return;
    case 4:
      if (executor && a.dice.one_in(4)) executor->shutdown();
      return;
    case 5:
      if (a.dice.one_in(8)) manager->shutdown();
      return;
    case 6:
      if (a.dice.one_in(8)) system_of_all().shutdown();
      return;
    case 7:
      manager->destroyLLM(a.dice.of(kIds));
      return;
    case 8: {
      const auto r = request(a, true);
      if (manager->execute(r).success) stage.fail("execute() waited inside a callback");
      if (!manager->executeBatch({}).empty()) stage.fail("more answers than requests");
      return;
    }
    case 9:
      if (executor) executor->unloadModel();
      return;
    case 10:
      if (executor) executor->setPriority(LLMPriority::HIGH);
      return;
    case 11:
      if (executor) executor->migrate(a.dice.of(kNodes));
      return;
    case 12:
      if (executor) (void)executor->initialize();
      return;
    case 13:
      manager->cancelAllExecutions();
      return;
    case 14:
      system_of_all().unregisterNode(a.dice.of(kNodes));
      return;
    default:
      return;
  }
}

}  // namespace

TokenCallback callback(Stage& stage) {
  return [&stage](const std::string& id, const std::string&) {
    Dice dice(stage.seed * 7919 + stage.born++);
    if (dice.one_in(6)) in_callback(stage, dice, id);
  };
}

}  // namespace choir::parallel
