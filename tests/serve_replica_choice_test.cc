// Which replica of a model gets a request.
#include "serve/replica_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "serve/prefix_holders.h"

namespace choir::serve {
namespace {

// ---- the choice ---------------------------------------------------------------------------------

// With speeds of 1 ms for a token of a prompt and 10 ms for one of an answer.
Replica replica(const std::string& name, double seconds = 0, std::int32_t active = 0) {
  Replica replica;
  replica.info.config.name = name;
  replica.info.config.sequence_tokens_max = 512;
  replica.info.outstanding_seconds = seconds;
  replica.info.active = active;
  replica.info.seconds_per_prompt_token = 0.001;
  replica.info.seconds_per_output_token = 0.01;
  return replica;
}
Replica with(Replica replica, void (*change)(Replica&)) {
  change(replica);
  return replica;
}
void make_full(Replica& r) { r.info.full = true; }
void make_away(Replica& r) { r.info.loaded = false; }
void suspend(Replica& r) { r.info.suspended = true; }
void send_one(Replica& r) { r.coming = 1; }
void forget_speeds(Replica& r) {
  r.info.seconds_per_prompt_token = r.info.seconds_per_output_token = 0;
}

struct Case {
  std::string name;
  std::vector<Replica> replicas;
  std::optional<PrefixHolder> holder;
  std::optional<std::size_t> want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

// Of a prompt of at most 400 tokens.
const PromptSight kSight{.mark = 1, .prompt_bytes = 400, .output_tokens_max = 50};
const PrefixHolder kFirst{.executor = "a", .tokens = 200};  // 0.2 s of work

const Case kCases[] = {
    {"NobodyOfNone", {}, std::nullopt, std::nullopt},
    {"FirstOfEquals", {replica("a"), replica("b")}, std::nullopt, 0},
    {"LeastLeftToDo",
     {replica("a", 3, 3), replica("b", 1, 1), replica("c", 2, 2)},
     std::nullopt,
     1},
    {"OneThatIsFullIsAvoided",
     {with(replica("a", 1, 1), make_full), replica("b", 9, 9)},
     std::nullopt,
     1},
    {"SoIsOneThatIsSuspended", {with(replica("a"), suspend), replica("b", 9, 9)}, std::nullopt, 1},
    {"AllFullIsAsIfNoneWere",
     {with(replica("a", 2, 2), make_full), with(replica("b", 1, 1), make_full)},
     std::nullopt,
     1},
    {"OneThatIsAwayIsNotChosen",
     {with(replica("a"), make_away), replica("b", 9, 9)},
     std::nullopt,
     1},
    {"NotEvenAsTheHolder", {with(replica("a"), make_away), replica("b", 9, 9)}, kFirst, 1},
    {"NotEvenWhenTheOthersAreFull",
     {with(replica("a"), make_away), with(replica("b", 9, 9), make_full)},
     std::nullopt,
     1},
    {"WhenAllAreAwayTheOneWithLeastToDo",
     {with(replica("a", 1, 1), make_away), with(replica("b"), make_away)},
     std::nullopt,
     1},
    {"WhatIsOnItsWayCounts", {with(replica("a"), send_one), replica("b")}, std::nullopt, 1},
    {"AsMuchAsTheRequestTakes",  // 100 tokens and 50 of an answer: 0.6 s
     {with(replica("a"), send_one), replica("b", 0.5, 1)},
     std::nullopt,
     1},
    {"AndNoMore", {with(replica("a"), send_one), replica("b", 0.7, 1)}, std::nullopt, 0},
    {"RequestsCountBeforeAnythingIsMeasured",
     {with(replica("a", 0, 1), forget_speeds), with(replica("b"), forget_speeds)},
     std::nullopt,
     1},
    {"TheHolderGetsTheNextTurn", {replica("a"), replica("b")}, PrefixHolder{"b", 200}, 1},
    {"AlsoWithSomeWorkLeft", {replica("a", 0.19, 1), replica("b")}, kFirst, 0},
    {"AnOverloadedHolderLosesIt", {replica("a", 0.21, 1), replica("b")}, kFirst, 1},
    {"AFullHolderLosesIt", {with(replica("a"), make_full), replica("b")}, kFirst, 1},
    {"NoMoreIsReusedThanThePromptHasBytes",
     {replica("a", 0.45, 1), replica("b")},
     PrefixHolder{"a", 100000},
     1},
    {"AHolderThatHasGoneDoesNotCount", {replica("b", 1, 1), replica("c")}, kFirst, 1},
};

class ReplicaChoice : public testing::TestWithParam<Case> {};

TEST_P(ReplicaChoice, Is) {
  EXPECT_EQ(chosen(GetParam().replicas, kSight, GetParam().holder), GetParam().want);
}
INSTANTIATE_TEST_SUITE_P(Rows, ReplicaChoice, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

// Groups with many equal figures, so that all ties come up.
TEST(ReplicaChoiceProperty, GoesWhereThereIsRoomAndNeverAway) {
  for (std::uint32_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto upto = [&](std::uint32_t most) { return static_cast<int>(random() % (most + 1)); };
    std::vector<Replica> all;
    const int count = 1 + upto(5);
    for (int i = 0; i < count; ++i) {
      all.push_back(replica(std::string(1, static_cast<char>('a' + i)), upto(3) * 0.2, upto(3)));
      all.back().coming = upto(2);
      all.back().info.loaded = upto(2) > 0;
      all.back().info.full = upto(2) == 0;
    }
    const auto there = [](const Replica& r) { return r.info.loaded; };
    const auto has_room = [&](const Replica& r) { return there(r) && !r.info.full; };
    const auto place = chosen(all, kSight, upto(1) == 0 ? std::optional(kFirst) : std::nullopt);
    ASSERT_TRUE(place);
    EXPECT_EQ(there(all[*place]), std::ranges::any_of(all, there));
    EXPECT_EQ(has_room(all[*place]), std::ranges::any_of(all, has_room));
  }
}

TEST(Replicas, ThatAreAwayAreWantedWhenNoneIsThereOrAllAreBusy) {
  const Replica away = with(replica("a"), make_away);
  EXPECT_TRUE(wants_all(std::vector{away, away}));
  EXPECT_TRUE(wants_all(std::vector{away, replica("b", 1, 1)}));
  EXPECT_TRUE(wants_all(std::vector{away, with(replica("b"), send_one)}));
  EXPECT_FALSE(wants_all(std::vector{away, replica("b")}));
  EXPECT_FALSE(wants_all(std::vector{away, replica("b", 1, 1), replica("c")}));
}

// ---- how prompts begin --------------------------------------------------------------------------

Asked chat(std::vector<Message> messages) {
  Asked asked;
  asked.request.messages = std::move(messages);
  return asked;
}
Asked text(std::string prompt) {
  Asked asked;
  asked.prompts = {{.text = std::move(prompt)}};
  return asked;
}
Client tenant(const std::string& name) { return {.tenant = name}; }
std::size_t mark(const Asked& asked, const std::string& of = "one") {
  return sight_of(asked, tenant(of)).mark.value();
}

TEST(PromptMark, IsThatOfTheTurnBefore) {
  const Asked first = chat({{"system", "Be brief"}, {"user", "Hello"}});
  const Asked second =
      chat({{"system", "Be brief"}, {"user", "Hello"}, {"assistant", "Hi"}, {"user", "And more"}});
  EXPECT_EQ(mark(first), mark(second));
  const std::string beginning(300, 'x');
  EXPECT_EQ(mark(text(beginning)), mark(text(beginning + " and on")));
  Asked tokens;
  tokens.prompts = {{.tokens = std::vector<TokenId>(64, 7)}};
  Asked longer = tokens;
  longer.prompts.front().tokens.push_back(8);
  EXPECT_EQ(mark(tokens), mark(longer));
}

TEST(PromptMark, IsNotThatOfAnotherPrompt) {
  const Asked asked = chat({{"system", "Be brief"}, {"user", "Hello"}});
  EXPECT_NE(mark(asked), mark(chat({{"system", "Be long"}, {"user", "Hello"}})));
  EXPECT_NE(mark(asked), mark(chat({{"system", "Be brief"}, {"user", "Hallo"}})));
  EXPECT_NE(mark(asked), mark(chat({{"user", "Be brief"}, {"system", "Hello"}})));
  EXPECT_NE(mark(text("a")), mark(text("b")));
}

TEST(PromptMark, IsNotThatOfAnotherTenantOrScope) {
  const Asked asked = chat({{"user", "Hello"}});
  EXPECT_NE(mark(asked, "one"), mark(asked, "two"));
  Asked salted = asked;
  salted.cache_salt = "s";
  Asked keyed = asked;
  keyed.prompt_cache_key = "s";
  EXPECT_NE(mark(asked), mark(salted));
  EXPECT_NE(mark(salted), mark(keyed));
}

TEST(PromptSights, HaveWhatTheRequestTakesAtMost) {
  Asked asked = chat({{"system", "123"}, {"user", "4567"}});
  asked.max_tokens_given = true;
  asked.request.max_tokens = 9;
  EXPECT_EQ(sight_of(asked, {}).prompt_bytes, 7);
  EXPECT_EQ(sight_of(asked, {}).output_tokens_max, 9);
  EmbedRequest embed;
  embed.texts = {"12", "3"};
  EXPECT_EQ(sight_of(embed).prompt_bytes, 3);
  EXPECT_FALSE(sight_of(embed).mark);
}

TEST(PrefixHolders, KeepTheLastOnes) {
  PrefixHolders holders;
  for (std::size_t mark = 0; mark < PrefixHolders::kMost; ++mark)
    holders.note(mark, {.executor = "a", .tokens = static_cast<std::int32_t>(mark)});
  EXPECT_EQ(holders.find(0)->tokens, 0);
  holders.note(0, {.executor = "b", .tokens = 5});  // the newest now
  EXPECT_EQ(holders.find(0)->executor, "b");
  holders.note(PrefixHolders::kMost, {.executor = "a"});
  EXPECT_FALSE(holders.find(1)) << "the oldest makes room";
  EXPECT_TRUE(holders.find(0));
  EXPECT_TRUE(holders.find(2));
}

}  // namespace
}  // namespace choir::serve
