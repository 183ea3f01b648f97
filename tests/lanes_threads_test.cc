// The lanes' threads over a fake engine: begin, end, and what leaves while it runs.
#include "runtime/lanes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "sim/null_engine.h"
#include "tests/pass_gate.h"

namespace choir {
namespace {

constexpr std::int32_t kForLong = 100'000;  // more tokens than a test has time for

class LanesThreads : public testing::Test {
 protected:
  std::shared_ptr<Executor> make(std::uint64_t id) {
    ExecutorConfig config;
    config.name = "executor " + std::to_string(id);
    config.context_tokens = 2 * kForLong;
    config.sequences_max = 4;
    config.batch_tokens_max = 64;
    auto engine = *backend.create_engine(
        model,
        {.context_tokens = config.context_tokens, .sequences_max = 4, .batch_tokens_max = 64});
    auto executor = std::make_shared<Executor>(ExecutorId{id}, config, model, std::move(engine),
                                               ExecutorRules{}, clock,
                                               [this](std::shared_ptr<RequestState> request) {
                                                 if (request->finished())
                                                   ended.change([](int& count) { ++count; });
                                               });
    return executor;
  }
  std::shared_ptr<RequestState> post(Executor& executor, std::int32_t max_tokens,
                                     Instant deadline = {}) {
    Sequence s;
    s.id = {++last};
    s.request = {last};
    s.tokens = {1, 2, 3};
    s.prompt_tokens = 3;
    s.max_tokens = max_tokens;
    s.sampling.bias.push_back({sim::FakeModel::kEnd, -1e9F});
    auto state = std::make_shared<RequestState>(s.request, home, executor.id(), clock.now(),
                                                deadline, Callbacks{});
    EXPECT_TRUE(executor.post({s, state, {}, {}}));
    return state;
  }
  std::shared_ptr<RequestState> run(const std::shared_ptr<Executor>& executor,
                                    std::int32_t max_tokens, Instant deadline = {}) {
    auto state = post(*executor, max_tokens, deadline);
    lanes->ready(executor->id(), Priority::kNormal);
    return state;
  }
  void await_ended(int count) {
    ended.wait([&](const int& n) { return n >= count; });
  }
  void begin() {
    lanes.emplace(std::vector<int>{-1, -1}, 0, TurnRules{}, clock, backend,
                  [this](ExecutorId id, std::optional<Instant> at) {
                    wakes.with([&](auto& all) { all[id] = at; });
                  });
    lanes->start();
  }

  SteadyClock clock;
  std::shared_ptr<PassGate> gate = std::make_shared<PassGate>();
  GatedBackend backend{gate};
  std::shared_ptr<const Model> model = std::make_shared<const sim::FakeModel>();
  sim::NullHome home;
  Monitor<int> ended{0};
  Guarded<std::map<ExecutorId, std::optional<Instant>>> wakes;
  std::uint64_t last = 0;
  std::optional<Lanes> lanes;  // last: its threads use the above
};

TEST_F(LanesThreads, WhatIsReadyIsRunToItsEnd) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  run(a, 5);
  await_ended(1);
  lanes->stop();
  EXPECT_EQ(a->stats().output_tokens.load(), 5U);
}

TEST_F(LanesThreads, ThatNeverHadWorkEnd) {
  begin();
  lanes->add(make(1));
  lanes->stop();
}

TEST_F(LanesThreads, StoppingTwiceIsStoppingOnce) {
  begin();
  lanes->stop();
  lanes->stop();
}

TEST_F(LanesThreads, ThatWereNotStartedEnd) {
  Lanes never({-1}, 0, {}, clock, backend, [](ExecutorId, std::optional<Instant>) {});
  never.add(make(1));
  never.ready({1}, Priority::kCritical);
  never.stop();
}

TEST_F(LanesThreads, StoppingInTheMiddleOfATurnEndsAfterIt) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  gate->close();
  const auto request = run(a, kForLong);
  gate->await_pass();
  std::thread stop([&] { lanes->stop(); });
  gate->open();
  stop.join();
  EXPECT_FALSE(gate->inside());
  EXPECT_FALSE(request->finished()) << "it had work left";
  const auto steps = a->stats().steps.load();
  lanes->ready(a->id(), Priority::kCritical);
  EXPECT_EQ(a->stats().steps.load(), steps) << "and nobody runs it";
  EXPECT_TRUE(a->has_work());
}

TEST_F(LanesThreads, TheTurnThatRunsIsTheLastOneOfWhatLeaves) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  gate->close();
  const auto request = run(a, kForLong);
  gate->await_pass();
  lanes->retire(a->id());
  std::atomic<bool> removed{false};
  std::thread remove([&] {
    lanes->remove(a->id());
    removed.store(true);
  });
  lanes->ready(a->id(), Priority::kCritical);
  EXPECT_FALSE(removed.load()) << "its turn runs";
  gate->open();
  remove.join();
  EXPECT_EQ(gate->ticks(), 2) << "one pass of one slice";
  EXPECT_FALSE(request->finished());
  EXPECT_EQ(a.use_count(), 1) << "no lane holds it any more";
}

TEST_F(LanesThreads, OneThatNeverRanIsRemovedAtOnce) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  lanes->remove(a->id());
  EXPECT_EQ(a.use_count(), 1);
}

TEST_F(LanesThreads, OneThatIsNotThereIsRemovedAlready) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  lanes->remove(a->id());
  lanes->remove(a->id());
  lanes->remove({77});
}

TEST_F(LanesThreads, TwoMayRemoveOneAtOnce) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  gate->close();
  run(a, kForLong);
  gate->await_pass();
  std::thread other([&] { lanes->remove(a->id()); });
  std::thread one([&] { lanes->remove(a->id()); });
  gate->open();
  one.join();
  other.join();
  EXPECT_EQ(a.use_count(), 1);
}

TEST_F(LanesThreads, WhatIsReadyAfterItsRemovalOrAfterTheEndIsNothing) {
  begin();
  const auto a = make(1);
  const auto b = make(2);
  lanes->add(a);
  lanes->add(b);
  lanes->remove(a->id());
  run(a, 5);
  lanes->stop();
  run(b, 5);
  EXPECT_EQ(a->stats().steps.load() + b->stats().steps.load(), 0U);
}

TEST_F(LanesThreads, OneIsRemovedAfterTheEnd) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  run(a, kForLong);
  lanes->stop();
  lanes->remove(a->id());
  EXPECT_EQ(a.use_count(), 1);
}

TEST_F(LanesThreads, OthersGoOnWhenOneLeaves) {
  begin();
  const auto a = make(1);
  const auto b = make(2);
  lanes->add(a);
  lanes->add(b);
  run(a, kForLong);
  const auto request = run(b, 300);
  lanes->remove(a->id());
  await_ended(1);
  EXPECT_TRUE(request->finished());
}

TEST_F(LanesThreads, OneThatWasRemovedComesBackWithItsWork) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  gate->close();
  const auto request = run(a, 50);
  gate->await_pass();
  lanes->retire(a->id());
  gate->open();
  lanes->remove(a->id());
  EXPECT_FALSE(request->finished());
  lanes->add(a);
  lanes->ready(a->id(), Priority::kNormal);
  await_ended(1);
  lanes->stop();
  EXPECT_EQ(a->stats().output_tokens.load(), 50U);
}

TEST_F(LanesThreads, WhenItMustWakeIsToldBeforeItsTurnIsOver) {
  begin();
  const auto a = make(1);
  lanes->add(a);
  const Instant deadline = clock.now() + std::chrono::hours(1);
  gate->close();
  run(a, kForLong, deadline);
  gate->await_pass();
  lanes->retire(a->id());
  gate->open();
  lanes->remove(a->id());
  EXPECT_EQ(wakes.with([&](auto& all) { return all.at(a->id()); }), deadline);
}

}  // namespace
}  // namespace choir
