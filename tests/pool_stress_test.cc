// Executors that move between lanes while all of them compute. ggml pauses an engine's old pool
// when it first computes on another; done at the wrong moment both lanes hang, with pools of two
// threads and more only. So this runs two lanes of two threads even on a machine of two cores.
#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <deque>
#include <thread>

#include "base/guarded.h"
#include "engine/llama_engine.h"
#include "engine/llama_pool.h"
#include "real_models.h"

namespace choir {
namespace {

struct Traffic {
  std::deque<LlamaEngine*> waiting;
  int turns_left = 0;
};

TEST(PoolStress, FourEnginesOverTwoLanesOfTwoThreads) {
  const auto model = LlamaModel::open(stories(), LlamaModel::Load::kWeights, "stress").value();
  std::vector<std::unique_ptr<LlamaEngine>> engines;
  Monitor<Traffic> traffic;
  for (int i = 0; i < 4; ++i) {
    engines.push_back(LlamaEngine::create(
                          model, {.context_tokens = 64, .sequences_max = 1, .batch_tokens_max = 16})
                          .value());
    traffic.change([&](Traffic& t) { t.waiting.push_back(engines.back().get()); });
  }
  const char* wanted = std::getenv("CHOIR_STRESS_TURNS");
  const int turns = wanted != nullptr ? std::atoi(wanted) : 600;
  traffic.change([&](Traffic& t) { t.turns_left = turns; });

  const auto lane = [&] {
    const SteadyClock clock;
    const AbortSignal never(clock);
    const std::array<int, 2> cpus = {-1, -1};
    LlamaPool pool(cpus);
    constexpr SeqId kSeq{1};
    const std::array<TokenId, 1> token = {5};
    const std::array<std::span<const TokenId>, 1> spans = {token};
    for (;;) {
      // Whoever has waited longest, wherever it ran before.
      LlamaEngine* engine = traffic.with([](Traffic& t) -> LlamaEngine* {
        if (t.turns_left == 0 || t.waiting.empty()) return nullptr;
        --t.turns_left;
        LlamaEngine* next = t.waiting.front();
        t.waiting.pop_front();
        return next;
      });
      if (engine == nullptr) return;
      engine->attach(pool);
      if (engine->computed(kSeq) >= 60) engine->truncate(kSeq, 0);
      const StepPlan plan{.slices = {{kSeq, engine->computed(kSeq), 1, true}}, .preempted = {}};
      const auto outcome = engine->run(plan, spans, never);
      EXPECT_TRUE(outcome && *outcome == RunOutcome::kDone);
      pool.for_each(4, [](int, int) {});
      engine->detach();
      traffic.with([&](Traffic& t) { t.waiting.push_back(engine); });
    }
  };
  std::thread first(lane);
  std::thread second(lane);
  first.join();
  second.join();
  EXPECT_EQ(traffic.with([](Traffic& t) { return t.turns_left; }), 0);
}

// The cpus that a thread may run on now, of those it started with.
std::vector<int> allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

std::unique_ptr<LlamaEngine> small_engine() {
  const auto model = LlamaModel::open(stories(), LlamaModel::Load::kWeights, "affinity").value();
  return LlamaEngine::create(model,
                             {.context_tokens = 64, .sequences_max = 1, .batch_tokens_max = 16})
      .value();
}

TEST(PoolAffinity, ALaneThatGoesBackToAWiderPoolLeavesTheWorkersCore) {
  const std::vector<int> cpus = allowed();
  if (cpus.size() < 2) GTEST_SKIP() << "needs two cores";
  const auto engine = small_engine();
  std::thread([&] {
    const std::array<int, 2> both = {cpus[0], cpus[1]};
    const std::array<int, 1> first = {cpus[0]};
    LlamaPool wide(both);
    LlamaPool narrow(first);
    for (int turn = 0; turn < 6; ++turn) {
      LlamaPool& pool = turn % 2 == 0 ? wide : narrow;
      engine->attach(pool);
      EXPECT_EQ(allowed(), std::vector<int>{turn % 2 == 0 ? cpus[1] : cpus[0]}) << "turn " << turn;
      pool.for_each(4, [](int, int) {});
      engine->detach();
      pool.for_each(4, [](int, int) {});  // as sampling does, after the engine has let go
    }
  }).join();
}

TEST(PoolAffinity, OneThreadOfALaneMayBeOnAnyOfItsCores) {
  const std::vector<int> cpus = allowed();
  if (cpus.size() < 2) GTEST_SKIP() << "needs two cores";
  const auto engine = small_engine();
  std::thread([&] {
    const std::array<int, 2> both = {cpus[0], cpus[1]};
    LlamaPool lane(both);
    EXPECT_EQ(&lane.narrowed(2), &lane);
    for (int turn = 0; turn < 6; ++turn) {
      const bool narrow = turn % 2 == 1;
      Pool& pool = lane.narrowed(narrow ? 1 : 2);
      EXPECT_EQ(pool.threads(), narrow ? 1 : 2);
      engine->attach(pool);
      EXPECT_EQ(allowed(),
                narrow ? std::vector<int>({cpus[0], cpus[1]}) : std::vector<int>{cpus[1]})
          << "turn " << turn;
      engine->detach();
      pool.for_each(4, [](int, int) {});
    }
  }).join();
}

}  // namespace
}  // namespace choir
