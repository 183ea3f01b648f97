// KV cells of one reuse scope are nothing to a request of another one, wherever they lie.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "runtime/reuse_scopes.h"
#include "tests/executor_stage.h"

namespace choir {
namespace {

TEST(ReuseScopes, AScopeIsThereWhileSomethingHoldsIt) {
  ReuseScopes scopes;
  auto a = scopes.hold("a");
  auto same = scopes.hold("a");
  const auto none = scopes.hold("");
  EXPECT_EQ(a, same);
  EXPECT_NE(a, none);
  EXPECT_NE(a->id(), none->id());
  EXPECT_EQ(scopes.count(), 2U);
  const ScopeId id = a->id();
  a = nullptr;
  EXPECT_EQ(scopes.count(), 2U);
  same = nullptr;
  EXPECT_EQ(scopes.count(), 1U);
  EXPECT_NE(scopes.hold("a")->id(), id) << "nothing of the old one may be taken for the new one's";
}

// ---- what a request learns of those of other scopes

// Where the cells of the first request are when the second one comes.
enum class Lies : std::uint8_t { kRunning, kEnded, kComing, kKept };
struct Case {
  std::string name;
  Lies lies;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class TwoTenants : public testing::TestWithParam<Case> {
 protected:
  struct Seen {
    std::int32_t reused = 0;
    std::uint64_t prompt_tokens = 0;  // computed, by both
    double first_token_seconds = 0;   // of the second
    bool operator==(const Seen&) const = default;
  };
  static Seen play(const Tokens& first, const std::string& scope, const Tokens& second) {
    Stage s;
    const Lies lies = GetParam().lies;
    const ConversationKey talk{lies == Lies::kKept ? 7U : 0U};
    s.post(first, {.max_tokens = 20, .talk = talk, .scope = "a"});
    if (lies == Lies::kRunning) s.turn();
    if (lies == Lies::kEnded || lies == Lies::kKept) s.turns();
    const auto id = s.post(second, {.scope = scope});
    s.turns();
    EXPECT_TRUE(s.executor->books_balance());
    const Usage usage = s.end_of(id).usage;
    return {usage.reused_tokens, s.prompt_tokens(), usage.first_token_seconds};
  }
};

TEST_P(TwoTenants, WithTheSamePromptAreAsWithUnlikeOnes) {
  const Tokens prompt = with_front(60, 1);
  Tokens unlike = prompt;
  unlike.front() = 89;
  const Seen seen = play(prompt, "b", prompt);
  EXPECT_EQ(seen, play(unlike, "b", prompt));
  EXPECT_EQ(seen.reused, 0);
  EXPECT_EQ(seen.prompt_tokens, 2 * 62U);
}

TEST_P(TwoTenants, OneTenantTwiceComputesItsPromptOnce) {
  const Tokens prompt = with_front(60, 1);
  EXPECT_EQ(play(prompt, "a", prompt).reused, 61);
  EXPECT_EQ(play(prompt, "a", prompt).prompt_tokens, 62U) << "and the last token, as a decode";
}

const Case kCases[] = {{"WhileItRuns", Lies::kRunning},
                       {"AfterItsEnd", Lies::kEnded},
                       {"InTheSamePass", Lies::kComing},
                       {"InAConversation", Lies::kKept}};
INSTANTIATE_TEST_SUITE_P(, TwoTenants, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(ExecutorScopes, ALongerPromptOfAnotherScopeDropsNothing) {
  Stage s;
  s.ask(with_front(40, 1), {.scope = "a"});
  s.ask(with_front(60, 1), {.scope = "b"});
  s.ask(with_front(40, 1), {.scope = "b"});
  EXPECT_EQ(s.ask(with_front(40, 1), {.scope = "a"}).usage.reused_tokens, 41);
}

TEST(ExecutorScopes, AShorterPromptOfAnotherScopeIsCachedToo) {
  Stage s;
  const Tokens longer = with_front(60, 1);
  s.ask(longer, {.scope = "a"});
  const Tokens shorter(longer.begin(), longer.begin() + 40);
  s.ask(shorter, {.max_tokens = 1, .scope = "b"});
  EXPECT_EQ(s.ask(shorter, {.scope = "b"}).usage.reused_tokens, 39);
}

// ---- conversations

constexpr ConversationKey kTalk{5};

TEST(ExecutorScopes, AConversationGoesOnInItsOwnScopeOnly) {
  Stage s({.prefix_cache = false});
  s.ask(with_front(60, 1), {.talk = kTalk, .scope = "a"});
  EXPECT_EQ(s.ask(with_front(60, 2), {.talk = kTalk, .scope = "a"}).usage.reused_tokens, 60);
  EXPECT_EQ(s.ask(with_front(60, 3), {.talk = kTalk, .scope = "b"}).usage.reused_tokens, 0);
  EXPECT_EQ(s.ask(with_front(60, 4), {.talk = kTalk, .scope = "b"}).usage.reused_tokens, 60);
  EXPECT_EQ(s.ask(with_front(60, 5), {.talk = kTalk, .scope = "a"}).usage.reused_tokens, 0);
  EXPECT_TRUE(s.executor->books_balance());
}

TEST(ExecutorScopes, WhatMovesTakesItsScopeAlong) {
  for (const std::string other : {"a", "b"}) {
    Stage s({.prefix_cache = false});
    s.ask(with_front(60, 1), {.talk = kTalk, .scope = "a"});
    const auto running = s.post(with_front(50, 2), {.max_tokens = 9, .scope = "a"});
    s.turn();
    s.executor->adopt(s.executor->extract());  // as with a move to another executor
    EXPECT_TRUE(s.executor->books_balance());
    EXPECT_EQ(s.ask(with_front(60, 3), {.talk = kTalk, .scope = other}).usage.reused_tokens,
              other == "a" ? 60 : 0);
    EXPECT_EQ(s.end_of(running).usage.recomputed_tokens, 0) << "its own state is its own";
  }
}

TEST(ExecutorScopes, AStateAsBytesIsOfItsScope) {
  Stage s({.prefix_cache = false});
  s.ask(with_front(60, 1), {.talk = kTalk, .scope = "a"});
  const KvState state = *s.executor->memory().copy_kept(kTalk);
  EXPECT_EQ(state.reuse_scope, "a");
  for (const std::string scope : {"a", "b"}) {
    s.executor->memory().forget_kept(kTalk);
    const auto id = s.post(with_front(60, 2), {.talk = kTalk, .scope = scope}, state);
    s.turns();
    EXPECT_EQ(s.end_of(id).usage.reused_tokens, scope == "a" ? 60 : 0);
    EXPECT_TRUE(s.executor->books_balance());
  }
}

TEST(ExecutorScopes, AScopeForEveryRequestTakesNoMemory) {
  Stage s;
  for (int i = 0; i < 200; ++i) {
    s.ask(with_front(20, 1), {.max_tokens = 1, .scope = "scope " + std::to_string(i)});
    ASSERT_TRUE(s.executor->books_balance()) << "after " << i;
  }
}

// ---- whatever happens

// Requests of some scopes with few beginnings, conversations, too few cells, passes that fail,
// other engines and moves: who has cells of whom is seen at the engine, and what was reused is at
// most what the scope had.
class Crowd {
 public:
  explicit Crowd(std::uint32_t seed) : rng_(seed), options_(options()), stage_(options_) {
    watch(*stage_.engine);
  }
  void play() {
    for (int i = 0; i < 60; ++i) {
      if (upto(3) > 1) ask();
      if (upto(12) == 1) cancel();
      if (upto(20) == 1) stage_.executor->adopt(stage_.executor->extract());
      if (upto(20) == 1) swap_engine();
      stage_.turn();
      ASSERT_TRUE(stage_.executor->books_balance());
    }
    stage_.turns();
    for (const Asked& one : asked_) check(one);
  }
  std::int32_t reused = 0;

 private:
  struct Asked {
    std::uint64_t id;
    std::string scope;
    Tokens prompt;
    ConversationKey talk;
  };
  int upto(int n) { return 1 + static_cast<int>(rng_() % static_cast<unsigned>(n)); }
  Stage::Options options() {
    Stage::Options o;
    o.cells = upto(2) == 1 ? 180 : 600;
    o.slots = 1 + upto(5);
    o.batch = 20 + upto(80);
    o.prefix_cache = upto(5) > 1;
    o.park_bytes_max = upto(2) == 1 ? 0 : 4000;
    if (upto(3) == 1) o.rules.fail_every = 23;
    o.rules.fail_takes_all = upto(2) == 1;
    if (upto(3) == 1) o.rules.no_cells_every = 17;
    if (upto(4) == 1) o.rules.fronts = Fronts::kWhole;
    return o;
  }
  void ask() {
    const std::string scope = upto(3) == 1 ? "" : std::string(1, static_cast<char>('a' + upto(2)));
    ConversationKey talk{upto(3) == 1 ? static_cast<std::uint64_t>(upto(3)) : 0};
    if (std::ranges::any_of(asked_, [&](const Asked& a) {
          return a.talk == talk && !stage_.states.at(a.id)->finished();
        }))
      talk = {};  // one turn of a conversation at a time
    const Tokens prompt = with_front(10 + 10 * upto(4), static_cast<TokenId>(upto(4)));
    const auto id = stage_.post(prompt, {.max_tokens = upto(12), .talk = talk, .scope = scope});
    asked_.push_back({id, scope, prompt, talk});
  }
  void cancel() {
    if (asked_.empty()) return;
    stage_.cancel(asked_[rng_() % asked_.size()].id);
  }
  void swap_engine() {
    auto next = std::make_unique<sim::FakeEngine>(stage_.executor->shared_model(),
                                                  Stage::engine_config(options_), options_.rules,
                                                  &stage_.clock);
    stage_.engine = next.get();
    watch(*next);
    std::unique_ptr<Engine> engine = std::move(next);
    EXPECT_TRUE(stage_.executor->swap_engine(engine, stage_.executor->config()));
  }
  const std::string& scope_of(SeqId id) const {
    return std::ranges::find(asked_, id.value, &Asked::id)->scope;
  }
  void watch(sim::FakeEngine& engine) {
    engine.on_share = [this](SeqId from, SeqId to) {
      EXPECT_EQ(scope_of(from), scope_of(to)) << from.value << " gives cells to " << to.value;
    };
  }
  void check(const Asked& one) {
    const Completion& completion = stage_.end_of(one.id);
    reused += completion.usage.reused_tokens;
    ends_.push_back({one, completion.tokens});
    std::int32_t most = 0;
    for (const Asked& other : asked_) {
      if (other.id >= one.id || other.scope != one.scope) continue;
      Tokens known = other.prompt;
      if (const auto end =
              std::ranges::find(ends_, other.id, [](const auto& e) { return e.first.id; });
          end != ends_.end())
        known.insert(known.end(), end->second.begin(), end->second.end());
      most = std::max(most, common_prefix(known, one.prompt));
    }
    EXPECT_LE(completion.usage.reused_tokens, most) << "request " << one.id;
  }

  std::mt19937 rng_;
  const Stage::Options options_;
  std::vector<Asked> asked_;
  std::vector<std::pair<Asked, Tokens>> ends_;
  Stage stage_;
};

TEST(ExecutorScopesProperty, NoSequenceTakesCellsOfAnotherScope) {
  std::int32_t reused = 0;
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Crowd crowd(seed);
    crowd.play();
    if (HasFatalFailure()) return;
    reused += crowd.reused;
  }
  EXPECT_GT(reused, 10'000) << "else nothing was tried";
}

}  // namespace
}  // namespace choir
