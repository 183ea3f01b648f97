// The scheduler's own cost of a step: schedule, mail, plan, bookkeeping, text; over an engine that
// computes nothing and a sampler that is not called; and the same with an observer that counts.
//
//   ./dev bench scheduler
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "runtime/executor.h"
#include "runtime/schedule.h"
#include "sim/fake_engine.h"
#include "sim/null_engine.h"
#if __has_include("runtime/observing.h")  // revisions before it have no observer
#include "runtime/observing.h"
#define CHOIR_BENCH_OBSERVER
#endif

namespace choir::bench {
namespace {

// One thread, which is the caller's.
class CallersThread final : public Pool {
 public:
  int threads() const override { return 1; }
  Pool& narrowed(int) override { return *this; }
  void for_each(int count, const std::function<void(int, int)>& work) override {
    for (int i = 0; i < count; ++i) work(i, 0);
  }
};

#ifdef CHOIR_BENCH_OBSERVER
// What a daemon's metrics do with a step: a few counters and a histogram.
class Counters final : public Observer {
 public:
  void on_step(const StepDone& step) override {
    add(prompt_tokens_, step.prompt_tokens);
    add(output_tokens_, step.output_tokens);
    for (std::size_t i = 0; i < rows_.size(); ++i) add(rows_.at(i), step.rows.at(i));
    std::size_t bucket = 0;
    for (double edge = 1e-6; bucket + 1 < seconds_.size() && step.seconds > edge; edge *= 2)
      ++bucket;
    add(seconds_.at(bucket), 1);
  }

 private:
  static void add(std::atomic<std::uint64_t>& counter, std::int32_t by) {
    counter.fetch_add(static_cast<std::uint64_t>(by), std::memory_order_relaxed);
  }
  std::atomic<std::uint64_t> prompt_tokens_{0};
  std::atomic<std::uint64_t> output_tokens_{0};
  std::array<std::atomic<std::uint64_t>, 4> rows_{};
  std::array<std::atomic<std::uint64_t>, 24> seconds_{};
};
#endif

double microseconds_per_step(int sequences, bool observed) {
  constexpr int kSteps = 1000;
  const SteadyClock clock;
  const auto model = std::make_shared<const sim::FakeModel>();
  ExecutorRules rules;
#ifdef CHOIR_BENCH_OBSERVER
  const Observing observing(std::make_shared<Counters>());
  if (observed) rules.observing = &observing;
#else
  (void)observed;
#endif
  ExecutorConfig config;
  config.name = "bench";
  config.sequences_max = sequences;
  Executor executor(
      ExecutorId{1}, config, model,
      std::make_unique<sim::NullEngine>(EngineConfig{
          .context_tokens = 1 << 23, .sequences_max = sequences, .batch_tokens_max = 512}),
      rules, clock, [](std::shared_ptr<RequestState>) {});
  Schedule schedule(2, {});
  schedule.add(executor.id(), 1.0);
  sim::NullHome home;
  for (int i = 0; i < sequences; ++i) {
    Sequence s;
    s.id = {static_cast<std::uint64_t>(i + 1)};
    s.request = {s.id.value};
    s.tokens = {1, 2, 3};
    s.prompt_tokens = 3;
    s.max_tokens = 1 << 14;
    s.sampling.temperature = 0;  // 32 equal logits: token 0, soon found
    CHOIR_CHECK(executor.post({s,
                               std::make_shared<RequestState>(s.request, home, executor.id(),
                                                              clock.now(), Instant{}, Callbacks{}),
                               {},
                               {}}),
                "the mailbox has room");
  }
  schedule.ready(executor.id(), Priority::kNormal, clock.now());
  CallersThread pool;
  const auto step = [&] {
    const auto turn = schedule.next(0, clock.now());
    CHOIR_CHECK(turn.has_value(), "there is work");
    const TurnResult result = executor.turn(pool, turn->contended);
    schedule.finished(0, result.elapsed, result.best, clock.now());
  };
  for (int i = 0; i < 100; ++i) step();  // prompts, and memory that is reused from then on
  std::vector<double> runs;
  for (int run = 0; run < 9; ++run) {
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < kSteps; ++i) step();
    runs.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began)
            .count() /
        kSteps);
  }
  return median(runs);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir::bench;
  const Arguments arguments = parse(argc, argv, "The scheduler's own cost, without an engine");
  std::vector<Row> rows;
  const auto measure = [&](int sequences, bool observed) {
    rows.push_back({.name = "a step with " + std::to_string(sequences) + " sequences" +
                            (observed ? ", observed" : ""),
                    .unit = "us",
                    .choir = microseconds_per_step(sequences, observed),
                    .peer = {},
                    .peer_name = "",
                    .goal = sequences == 64 ? std::optional(observed ? 6.0 : 5.0) : std::nullopt,
                    .better = Better::kLower});
  };
  for (const int sequences : {1, 8, 64, 256}) measure(sequences, false);
#ifdef CHOIR_BENCH_OBSERVER
  for (const int sequences : {1, 64}) measure(sequences, true);
#endif
  return finish("scheduler", rows, arguments);
}
