// What an executor keeps from step to step instead of counting it: cells and slots of sequences, of
// conversations and of cached fronts, parked states and their bytes, who has ended.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "core/kv_ledger.h"
#include "tests/executor_stage.h"

namespace choir {
namespace {

// All that changes the books, in any order, on an executor that is too small for what it is asked.
class Workload {
 public:
  explicit Workload(std::uint32_t seed)
      : rng_(seed),
        stage_({.cells = 60 + upto(200),
                .slots = upto(6),
                .batch = 6 + upto(40),
                .prefix_cache = !one_in(6),
                .rules = {.no_cells_every = one_in(3) ? 20U : 0U,
                          .fail_every = one_in(4) ? 31U : 0U,
                          .fail_takes_all = one_in(2),
                          .window = one_in(4) ? 16 : 0,
                          .fronts = fronts()},
                .park_bytes_max = one_in(2) ? 0U : 2000U}) {}

  Fronts fronts() {
    if (!one_in(3)) return Fronts::kAny;
    return one_in(2) ? Fronts::kWhole : Fronts::kNone;
  }
  Executor& executor() { return *stage_.executor; }

  void do_something() {
    switch (upto(12)) {
      case 1:
      case 2:
      case 3:
        return post();
      case 4:
        return cancel();
      case 5:
        return one_in(3) ? swap_engine() : stage_.turn();
      case 6:
        if (one_in(3)) executor().adopt(executor().extract());
        return;
      case 7:
        return executor().memory().forget_kept({static_cast<std::uint64_t>(upto(kTalks))});
      case 8:
        return update();
      default:
        return stage_.turn();
    }
  }

  void end() {
    for (auto& [id, state] : stage_.states) stage_.cancel(id);
    stage_.turn();
    for (int talk = 1; talk <= kTalks; ++talk)
      executor().memory().forget_kept({static_cast<std::uint64_t>(talk)});
    executor().memory().forget_cached();
    stage_.turn();
  }
  std::int32_t cells() const { return stage_.cells(); }
  std::uint64_t preemptions() { return executor().stats().preemptions.load(); }
  std::uint64_t reused() { return executor().stats().reused_tokens.load(); }

 private:
  static constexpr int kTalks = 3;

  int upto(int n) { return 1 + static_cast<int>(rng_() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return upto(n) == 1; }

  // Turns of one conversation go one after the other.
  ConversationKey free_talk() {
    const ConversationKey key{static_cast<std::uint64_t>(upto(kTalks))};
    const auto last = talks_.find(key);
    return last == talks_.end() || stage_.states.at(last->second)->finished() ? key
                                                                              : ConversationKey{};
  }

  void post() {
    const Tokens tokens = with_front(upto(35), static_cast<TokenId>(upto(9)));
    const ConversationKey key = one_in(2) ? free_talk() : ConversationKey{};
    const auto id = stage_.post(
        tokens,
        {.max_tokens = upto(15), .priority = static_cast<Priority>(upto(4) - 1), .talk = key});
    if (key != ConversationKey{}) talks_[key] = id;
  }

  void cancel() {
    if (stage_.states.empty()) return;
    auto at = stage_.states.begin();
    std::advance(at, upto(static_cast<int>(stage_.states.size())) - 1);
    stage_.cancel(at->first);
  }

  void swap_engine() {
    const EngineConfig config{.context_tokens = 60 + upto(200),
                              .sequences_max = upto(6),
                              .batch_tokens_max = 6 + upto(40)};
    std::unique_ptr<Engine> engine = std::make_unique<sim::FakeEngine>(
        executor().shared_model(), config, sim::FakeRules{}, &stage_.clock);
    EXPECT_TRUE(executor().swap_engine(engine, executor().config()));
  }

  void update() {
    ExecutorConfig config = executor().config();
    config.prefix_cache = !one_in(4);
    config.park_bytes_max = one_in(2) ? 0 : 2000;
    executor().update(config);
  }

  std::mt19937 rng_;
  Stage stage_;
  std::map<ConversationKey, std::uint64_t> talks_;  // the last request of each
};

TEST(ExecutorBooksProperty, RunningTotalsAreWhatCountingGives) {
  std::uint64_t preemptions = 0;
  std::uint64_t reused = 0;
  for (std::uint32_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Workload work(seed);
    for (int i = 0; i < 200; ++i) {
      work.do_something();
      ASSERT_TRUE(work.executor().books_balance()) << "after " << i << " steps";
    }
    work.end();
    ASSERT_TRUE(work.executor().books_balance());
    ASSERT_EQ(work.cells(), 0) << "everybody has gone";
    preemptions += work.preemptions();
    reused += work.reused();
  }
  // A test in which nothing happens proves nothing.
  EXPECT_GT(preemptions, 0U);
  EXPECT_GT(reused, 0U);
}

TEST(KvLedger, CountsASlotWhileThereIsACell) {
  KvLedger ledger;
  KvCells a;
  KvCells b;
  ledger.set(a, 5);
  ledger.set(b, 1);
  EXPECT_EQ(ledger.use(), (KvUse{.cells = 6, .slots = 2}));
  ledger.set(a, 2);
  ledger.set(b, 0);
  EXPECT_EQ(ledger.use(), (KvUse{.cells = 2, .slots = 1}));
}

}  // namespace
}  // namespace choir
