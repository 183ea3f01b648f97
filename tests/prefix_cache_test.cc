// Requests that begin the same compute that once: one executor over a fake engine, turn by turn.
// Whatever is shared, the tokens are those of each request alone.
#include "runtime/prefix_cache.h"

#include <gtest/gtest.h>

#include "tests/executor_stage.h"

namespace choir {
namespace {

TEST(PrefixCache, TheFrontOfAnEndedRequestIsNotComputedAgain) {
  Stage s;
  EXPECT_EQ(s.ask(with_front(50, 1)).usage.reused_tokens, 0);
  EXPECT_EQ(s.cells(), 0) << "nobody uses them";
  EXPECT_EQ(s.cached(), 55) << "all but the last token";
  EXPECT_EQ(s.prompt_tokens(), 52U);
  EXPECT_EQ(s.ask(with_front(50, 2)).usage.reused_tokens, 50);
  EXPECT_EQ(s.prompt_tokens(), 54U);
  EXPECT_EQ(s.engine->cells_held(), 55 + 5) << "the front's cells are shared";
}

TEST(PrefixCache, SwitchedOffItSharesNothing) {
  Stage s({.prefix_cache = false});
  s.ask(with_front(50, 1));
  EXPECT_EQ(s.engine->cells_held(), 0);
  EXPECT_EQ(s.ask(with_front(50, 2)).usage.reused_tokens, 0);
  s.post(with_front(50, 3));
  s.post(with_front(50, 4));
  s.turns();
  EXPECT_EQ(s.prompt_tokens(), 4 * 52U);
}

TEST(PrefixCache, AFrontIsTakenFromOneThatStillRuns) {
  Stage s;
  const auto first = s.post(with_front(50, 1), {.max_tokens = 20});
  s.turn();
  const auto second = s.post(with_front(50, 2));
  s.turns();
  EXPECT_EQ(s.end_of(first).usage.reused_tokens, 0);
  EXPECT_EQ(s.end_of(second).usage.reused_tokens, 50);
}

TEST(PrefixCache, ShortFrontsAreComputed) {
  Stage s;
  s.ask(with_front(15, 1));
  EXPECT_EQ(s.ask(with_front(15, 2)).usage.reused_tokens, 0);
}

TEST(PrefixCache, TheSamePromptAgainComputesItsLastToken) {
  Stage s;
  s.ask(with_front(50, 1));
  EXPECT_EQ(s.ask(with_front(50, 1)).usage.reused_tokens, 51);
}

TEST(PrefixCache, AHistorySentAgainGoesOnInItsCells) {
  Stage s({.slots = 1});
  Tokens history = with_front(30, 1);
  std::int32_t reusable = 0;
  for (int round = 0; round < 4; ++round) {
    const Completion answer = s.ask(history);
    EXPECT_EQ(answer.usage.reused_tokens, reusable);
    history.insert(history.end(), answer.tokens.begin(), answer.tokens.end());
    reusable = static_cast<std::int32_t>(history.size()) - 1;
    EXPECT_EQ(s.cached(), reusable) << "one state, the longest";
    EXPECT_EQ(s.engine->cells_held(), reusable);
    history.push_back(7);
  }
}

TEST(PrefixCache, TheBeginningOfAnotherStateIsDropped) {
  Stage s;
  s.ask(with_front(50, 1), {.max_tokens = 2});
  s.ask(with_front(50, 1), {.max_tokens = 9});
  EXPECT_EQ(s.cached(), 52 + 8);
  s.ask(with_front(50, 1), {.max_tokens = 3});
  EXPECT_EQ(s.cached(), 52 + 8);
  EXPECT_EQ(s.engine->cells_held(), 52 + 8);
}

TEST(PrefixCache, AFailedOrTinyRequestLeavesNothing) {
  Stage tiny;
  tiny.ask(with_front(8, 1));
  EXPECT_EQ(tiny.engine->cells_held(), 0);
  Stage failing({.rules = {.fail_every = 3}});
  EXPECT_EQ(failing.ask(with_front(50, 1)).finish, Finish::kFailed);
  EXPECT_EQ(failing.engine->cells_held(), 0);
}

TEST(PrefixCache, GoingOnInAStateEvictsNoOther) {
  Stage s({.slots = 2});
  s.ask(with_front(50, 1), {.max_tokens = 1});
  s.ask(Tokens(30, 1));
  Tokens longer = with_front(50, 1);
  longer.push_back(5);
  EXPECT_EQ(s.ask(longer).usage.reused_tokens, 52);
  EXPECT_EQ(s.cached(), 53 + 3 + 33);
}

TEST(PrefixCache, TheOnlySlotIsTakenOverWithTheFrontInIt) {
  Stage s({.slots = 1});
  s.ask(with_front(50, 1));
  EXPECT_EQ(s.ask(with_front(50, 2)).usage.reused_tokens, 50);
}

TEST(PrefixCache, ThoseThatArriveTogetherComputeTheirFrontOnce) {
  Stage s;
  for (TokenId i = 1; i <= 6; ++i) s.post(with_front(90, i));
  s.turn();
  EXPECT_EQ(s.prompt_tokens(), 92U) << "five stand back";
  EXPECT_EQ(s.executor->stats().waiting.load(), 5);
  s.turn();
  EXPECT_EQ(s.prompt_tokens(), 92U + 5 * 2);
  s.turns();
  for (std::uint64_t id = 1; id <= 6; ++id)
    EXPECT_EQ(s.end_of(id).usage.reused_tokens, id == 1 ? 0 : 90);
}

TEST(PrefixCache, GroupsOfDifferentFrontsEachHaveALeader) {
  Stage s;
  const auto of_group = [](TokenId group, TokenId mark) {
    Tokens tokens = with_front(60, mark);
    for (TokenId& token : tokens) token = (token + group) % 90;
    return tokens;
  };
  for (TokenId i = 1; i <= 3; ++i)
    for (const TokenId group : {0, 30}) s.post(of_group(group, i));
  s.turns();
  EXPECT_EQ(s.prompt_tokens(), 2 * 62U + 4 * 2);
}

TEST(PrefixCache, ALongFrontIsWaitedForInChunks) {
  Stage s({.batch = 40});
  for (TokenId i = 1; i <= 3; ++i) s.post(with_front(100, i));
  s.turns();
  EXPECT_EQ(s.prompt_tokens(), 102U + 2 * 2);
  EXPECT_EQ(s.end_of(3).usage.reused_tokens, 100);
}

TEST(PrefixCache, WaitingForAFrontEarnsNoBetterClass) {
  Stage s({.batch = 40, .rules = {.pass = std::chrono::seconds(1)}});
  s.post(with_front(200, 1));
  s.post(with_front(200, 2));
  s.turns();
  EXPECT_EQ(s.end_of(2).usage.reused_tokens, 200)
      << "it did not overtake the one that computes for it";
}

TEST(PrefixCache, ACriticalOneDoesNotWaitForALowOne) {
  Stage s;
  const auto low = s.post(with_front(80, 1), {.priority = Priority::kLow});
  const auto critical =
      s.post(with_front(80, 2), {.max_tokens = 1, .priority = Priority::kCritical});
  s.turn();
  EXPECT_EQ(s.end_of(critical).usage.reused_tokens, 0);
  s.turns();
  EXPECT_EQ(s.end_of(low).usage.reused_tokens, 80) << "but the other way round";
}

TEST(PrefixCache, FollowersGoOnWhenTheirLeaderIsCancelledInItsPass) {
  Stage s({.batch = 60});
  for (TokenId i = 1; i <= 3; ++i) s.post(with_front(100, i));
  s.turn();
  int ticks = 0;
  s.engine->on_tick = [&] {
    if (++ticks != 1) return;
    s.states.at(1)->cancelled.store(true);
    s.executor->interrupt({1});
  };
  s.turn();
  EXPECT_EQ(s.executor->stats().aborts.load(), 1U);
  s.turns();
  EXPECT_EQ(s.end_of(1).finish, Finish::kCancelled);
  EXPECT_EQ(s.end_of(2).usage.reused_tokens, 60) << "what the leader had computed before";
  EXPECT_EQ(s.end_of(3).usage.reused_tokens, 100);
}

TEST(PrefixCache, FollowersGoOnWhenTheirLeadersPassFails) {
  Stage failing({.rules = {.fail_every = 7}});
  for (TokenId i = 0; i < 6; ++i) failing.ask({5}, {.max_tokens = 1});
  for (TokenId i = 1; i <= 3; ++i) failing.post(with_front(100, i), {.max_tokens = 2});
  failing.turns();
  EXPECT_EQ(failing.end_of(7).finish, Finish::kFailed);
  EXPECT_EQ(failing.end_of(8).usage.reused_tokens, 0) << "nothing is left of a failed pass";
  EXPECT_EQ(failing.end_of(9).usage.reused_tokens, 100);
}

TEST(PrefixCache, FollowersMayBeCancelledThemselves) {
  Stage s;
  s.post(with_front(100, 1));
  const auto second = s.post(with_front(100, 2));
  s.turn();
  s.cancel(second);
  s.turns();
  EXPECT_EQ(s.end_of(second).finish, Finish::kCancelled);
  EXPECT_EQ(s.end_of(second - 1).finish, Finish::kLength);
}

TEST(PrefixCache, CachedStatesAreInNobodysWay) {
  Stage s({.cells = 120, .slots = 3});
  for (TokenId i = 0; i < 3; ++i) s.ask(Tokens(30, i));
  EXPECT_EQ(s.cached(), 3 * 33);
  for (TokenId i = 3; i < 6; ++i) s.post(Tokens(30, i));
  s.turn();
  EXPECT_EQ(s.executor->stats().running.load(), 3) << "all at once, at the first turn";
  EXPECT_EQ(s.cached(), 0);
  s.turns();
  EXPECT_EQ(s.executor->stats().preemptions.load(), 0U);
}

TEST(PrefixCache, TheOldestLeavesFirstAndUseMakesYoung) {
  Stage s({.slots = 3});
  for (TokenId i = 0; i < 3; ++i) s.ask(Tokens(30, i));
  Tokens other(20, 0);
  other.push_back(9);
  EXPECT_EQ(s.ask(other).usage.reused_tokens, 20) << "of the oldest, which stays: 1 leaves";
  EXPECT_EQ(s.ask(Tokens(30, 1)).usage.reused_tokens, 0) << "and now 2 leaves";
  EXPECT_EQ(s.ask(Tokens(30, 0)).usage.reused_tokens, 29);
}

TEST(PrefixCache, CachedStatesLeaveBeforeConversations) {
  constexpr ConversationKey kTalk{1};
  Stage s({.cells = 200, .slots = 3, .park_bytes_max = 0});
  s.ask(Tokens(30, 1), {.talk = kTalk});
  s.ask(Tokens(30, 2));
  s.ask(Tokens(30, 3));
  s.post(Tokens(30, 4));
  s.post(Tokens(30, 5));
  s.turns();
  EXPECT_TRUE(s.executor->kept().holds(kTalk));
  EXPECT_EQ(s.ask(Tokens(40, 1), {.talk = kTalk}).usage.reused_tokens, 30);
}

TEST(PrefixCache, AStateInBytesComesBackOverCachedOnes) {
  constexpr ConversationKey kTalk{1};
  Stage s({.slots = 2});
  s.ask(Tokens(30, 1), {.talk = kTalk});
  s.post(Tokens(30, 2));
  s.post(Tokens(30, 3));
  s.turns();
  EXPECT_EQ(s.cached(), 2 * 33) << "in both slots";
  EXPECT_EQ(s.ask(Tokens(40, 1), {.talk = kTalk}).usage.reused_tokens, 30);
}

TEST(PrefixCache, AConversationAndPlainRequestsShareBothWays) {
  constexpr ConversationKey kOne{1};
  constexpr ConversationKey kTwo{2};
  Stage s;
  s.ask(with_front(50, 1), {.talk = kOne});
  EXPECT_EQ(s.cached(), 0) << "it belongs to the conversation";
  EXPECT_EQ(s.ask(with_front(50, 2)).usage.reused_tokens, 50);
  EXPECT_EQ(s.ask(with_front(50, 3), {.talk = kTwo}).usage.reused_tokens, 50);
  EXPECT_TRUE(s.executor->kept().holds(kOne) && s.executor->kept().holds(kTwo));
  // Its own state has less in common with what it asks now than another one's.
  s.ask(with_front(20, 9), {.talk = kOne});
  EXPECT_EQ(s.ask(with_front(50, 4), {.talk = kOne}).usage.reused_tokens, 50);
}

TEST(PrefixCache, AWindowThatHasMovedOnGivesNothingAndIsNotWaitedForAgain) {
  Stage s({.rules = {.window = 40}});
  s.ask(with_front(50, 1));
  EXPECT_EQ(s.ask(with_front(50, 2)).usage.reused_tokens, 0);
  for (TokenId i = 3; i <= 6; ++i) s.post(with_front(50, i));
  s.turn();
  s.turn();
  EXPECT_EQ(s.prompt_tokens(), 6 * 52U) << "three in one pass, once the first has shown it";
  s.turns();
  for (std::uint64_t id = 3; id <= 6; ++id) EXPECT_EQ(s.end_of(id).finish, Finish::kLength);
  Tokens whole = with_front(50, 7);
  const Completion answer = s.ask(whole);
  whole.insert(whole.end(), answer.tokens.begin(), answer.tokens.end());
  EXPECT_EQ(s.ask(whole).usage.reused_tokens, 52 + 3) << "all of a state can be had";
}

TEST(PrefixCache, AStateThatMovesOnIsHadWholeOrNotWaitedFor) {
  Stage s({.rules = {.fronts = Fronts::kWhole}});
  s.ask(with_front(50, 1));
  EXPECT_EQ(s.ask(with_front(50, 2)).usage.reused_tokens, 0);
  for (TokenId i = 3; i <= 6; ++i) s.post(with_front(50, i));
  s.turn();
  EXPECT_EQ(s.prompt_tokens(), 6 * 52U) << "all four in one pass: nobody stood back for nothing";
  s.turns();
  Tokens whole = with_front(50, 7);
  const Completion answer = s.ask(whole);
  whole.insert(whole.end(), answer.tokens.begin(), answer.tokens.end());
  EXPECT_EQ(s.ask(whole).usage.reused_tokens, 52 + 3) << "all of a state can be had";
}

TEST(PrefixCache, APassThatFailsMayTakeTheCellsOfAnybody) {
  constexpr ConversationKey kOne{1};
  Stage s({.rules = {.fail_every = 9, .fail_takes_all = true}});
  s.ask(with_front(50, 1));                  // four passes, and cached
  s.ask(with_front(50, 2), {.talk = kOne});  // four more, and kept
  EXPECT_EQ(s.ask(with_front(50, 3)).finish, Finish::kFailed);
  EXPECT_FALSE(s.executor->kept().holds(kOne));
  EXPECT_EQ(s.ask(with_front(50, 4)).usage.reused_tokens, 0);
}

TEST(PrefixCache, AMemoryThatGivesNothingIsNotAsked) {
  Stage s({.rules = {.fronts = Fronts::kNone}});
  Tokens whole = with_front(50, 1);
  const Completion answer = s.ask(whole);
  whole.insert(whole.end(), answer.tokens.begin(), answer.tokens.end());
  for (TokenId i = 2; i <= 4; ++i) s.post(with_front(50, i));
  s.turn();
  EXPECT_EQ(s.prompt_tokens(), 4 * 52U);
  s.turns();
  EXPECT_EQ(s.ask(whole).usage.reused_tokens, 0);
}

TEST(PrefixCache, ASequenceThatLostItsCellsGetsItsFrontBack) {
  Stage s({.cells = 130, .slots = 4, .park_bytes_max = 0});
  const auto first = s.post(with_front(50, 1), {.max_tokens = 60});
  s.turn();
  const auto second = s.post(with_front(50, 2), {.max_tokens = 60});
  s.turns();
  EXPECT_EQ(s.end_of(first).finish, Finish::kLength);
  const Completion back = s.end_of(second);
  EXPECT_EQ(back.usage.reused_tokens, 50);
  EXPECT_EQ(s.executor->stats().reused_tokens.load(), 50U) << "of prompts";
  EXPECT_LT(back.usage.recomputed_tokens, 50) << "it took the front again";
  EXPECT_GT(s.executor->stats().preemptions.load(), 0U);
}

TEST(PrefixCache, LeavesWithTheEngine) {
  Stage s;
  s.ask(with_front(50, 1));
  EXPECT_TRUE(s.executor->extract().kept.empty()) << "nothing to hand over";
  EXPECT_EQ(s.engine->cells_held(), 0);
  s.ask(with_front(50, 2));
  ExecutorConfig off = s.executor->config();
  off.prefix_cache = false;
  s.executor->update(off);
  EXPECT_EQ(s.engine->cells_held(), 0);
}

TEST(PrefixCache, AnotherEngineBeginsWithout) {
  Stage s;
  s.ask(with_front(50, 1));
  const auto model = std::make_shared<const sim::FakeModel>();
  std::unique_ptr<Engine> other = std::make_unique<sim::FakeEngine>(
      model, Stage::engine_config({.slots = 2}), sim::FakeRules{}, &s.clock);
  ASSERT_TRUE(s.executor->swap_engine(other, s.executor->config()));
  EXPECT_EQ(s.engine->cells_held(), 0);
  EXPECT_EQ(s.ask(with_front(50, 2)).usage.reused_tokens, 0);
  EXPECT_EQ(s.ask(with_front(50, 3)).usage.reused_tokens, 50);
}

}  // namespace
}  // namespace choir
