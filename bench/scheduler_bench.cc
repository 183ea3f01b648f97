// The scheduler's own cost of a step: schedule, mail, plan, bookkeeping, text; over an engine that
// computes nothing and a sampler that is not called; and the same with an observer that counts.
//
//   ./dev bench scheduler
#include <malloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bench/engine/callers_thread.h"
#include "bench/report/report.h"
#include "runtime/executor.h"
#include "runtime/schedule.h"
#include "runtime/turn_log.h"
#include "sim/fake_engine.h"
#include "sim/null_engine.h"
#if __has_include("runtime/observing.h")  // revisions before it have no observer
#include "runtime/observing.h"
#define CHOIR_BENCH_OBSERVER
#endif

namespace choir::bench {
namespace {

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

// An executor whose running sequences decode in every step.
class Rig {
 public:
  explicit Rig(int running, const ExecutorRules& rules = {})
      : executor_(
            config(running).id, config(running).value, std::make_shared<const sim::FakeModel>(),
            std::make_unique<sim::NullEngine>(EngineConfig{
                .context_tokens = 1 << 23, .sequences_max = running, .batch_tokens_max = 512}),
            rules, clock_, [](std::shared_ptr<RequestState>) {}) {
    schedule_.add(executor_.id(), 1.0);
    post(running);
    schedule_.ready(executor_.id(), Priority::kNormal, clock_.now());
    steps(100);  // prompts, and memory that is reused from then on
  }
  void post(int sequences) {
    for (int i = 0; i < sequences; ++i) {
      Sequence s;
      s.id = {++last_};
      s.request = {last_};
      s.tokens = {1, 2, 3};
      s.prompt_tokens = 3;
      s.max_tokens = 1 << 17;
      s.sampling.temperature = 0;  // 32 equal logits: token 0, soon found
      auto state = std::make_shared<RequestState>(s.request, home_, executor_.id(), clock_.now(),
                                                  Instant{}, Callbacks{});
      CHOIR_CHECK(executor_.post({std::move(s), std::move(state), {}, {}}), "the mailbox has room");
    }
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      const auto turn = schedule_.next(0, clock_.now());
      CHOIR_CHECK(turn.has_value(), "there is work");
      const TurnResult result = executor_.turn(pool_, turn->contended);
      schedule_.finished(0, result.elapsed, result.best, clock_.now());
    }
  }
  double microseconds_per_step(int count) {
    const auto began = std::chrono::steady_clock::now();
    steps(count);
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began)
               .count() /
           count;
  }

 private:
  struct Named {
    ExecutorId id{1};
    ExecutorConfig value;
  };
  static Named config(int running) {
    Named named;
    named.value.name = "bench";
    named.value.sequences_max = running;
    return named;
  }

  const SteadyClock clock_;
  sim::NullHome home_;
  CallersThread pool_;
  Schedule schedule_{2, {}};
  Executor executor_;
  std::uint64_t last_ = 0;
};

double microseconds_per_step(int sequences, bool observed) {
  ExecutorRules rules;
#ifdef CHOIR_BENCH_OBSERVER
  const Observing observing(std::make_shared<Counters>());
  if (observed) rules.observing = &observing;
#else
  (void)observed;
#endif
  // Two seconds of steps; a sequence has tokens for so many of them only.
  const int steps = std::clamp(128'000 / sequences, 500, 10'000);
  std::vector<double> runs;
  for (int rigs = 0; rigs < 20; ++rigs) {
    Rig rig(sequences, rules);
    for (int run = 0; run < 9; ++run) runs.push_back(rig.microseconds_per_step(steps));
  }
  return median(runs);
}

constexpr int kWaiting = 1000;

double bytes_in_use() {
  const struct mallinfo2 memory = mallinfo2();
  return static_cast<double>(memory.uordblks + memory.hblkhd);
}

struct Pairs {
  std::vector<double> alone_us;
  std::vector<double> crowded_us;
  std::vector<double> ratios;
};
// In turn: what disturbs the machine disturbs both.
Pairs compare(Rig& alone, Rig& crowded) {
  Pairs pairs;
  for (int pair = 0; pair < 300; ++pair) {
    if (pair % 2 == 0) pairs.alone_us.push_back(alone.microseconds_per_step(100));
    pairs.crowded_us.push_back(crowded.microseconds_per_step(100));
    if (pair % 2 != 0) pairs.alone_us.push_back(alone.microseconds_per_step(100));
    pairs.ratios.push_back(pairs.crowded_us.back() / pairs.alone_us.back());
  }
  return pairs;
}

// A step of 64 sequences beside which others wait, and one of 64 alone. The two are compared before
// the others come too: where their memory lies makes a difference of some percent.
std::vector<Row> beside_waiting() {
  Rig alone(64);
  Rig crowded(64);
  const double unlike = median(compare(alone, crowded).ratios);
  const double before = bytes_in_use();
  crowded.post(kWaiting);
  crowded.steps(2);
  const double bytes = (bytes_in_use() - before) / kWaiting;
  const Pairs pairs = compare(alone, crowded);
  return {row("64 running, 0 waiting", "us", median(pairs.alone_us), {}),
          row("64 running, 1000 waiting", "us", median(pairs.crowded_us), {}),
          row("1000 waiting / 0 waiting", "x", median(pairs.ratios) / unlike, 1.01),
          row("a waiting request, its prompt of 12 bytes included", "bytes", bytes, 4096)};
}

// What a turn adds to the log of turns; nobody reads it.
double nanoseconds_of_turn_log() {
  TurnLog log(1);
  constexpr int kTurns = 100'000;
  std::vector<double> runs;
  for (int run = 0; run < 50; ++run) {
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < kTurns; ++i)
      log.add(0, {.began = {Nanos{i}},
                  .length = Nanos{100},
                  .executor = {1},
                  .prompt_tokens = 0,
                  .decode_rows = i,
                  .priority = Priority::kNormal,
                  .threads = 2});
    runs.push_back(
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - began).count() /
        kTurns);
  }
  return median(runs);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir::bench;
  const Arguments arguments =
      parse(argc, argv, "The scheduler's own cost, without an engine", Loads::kNamed);
  std::vector<Row> rows;
  const auto measure = [&](int sequences, bool observed) {
    const std::string name =
        "a step with " + std::to_string(sequences) + " sequences" + (observed ? ", observed" : "");
    if (!arguments.wants(name)) return;
    rows.push_back({.name = name,
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
  if (arguments.wants("turn log"))
    rows.push_back(row("turn log: one turn", "ns", nanoseconds_of_turn_log(), 50));
  if (arguments.wants("waiting"))
    for (Row& row : beside_waiting()) rows.push_back(std::move(row));
  return finish("scheduler", rows, arguments);
}
