// The tokens of a conversation's next turn, over a model that is bytes.
#include "context/next_prompt.h"

#include <gtest/gtest.h>

#include "sim/fake_engine.h"

namespace choir {
namespace {

class NextPromptTest : public testing::Test {
 protected:
  NextPrompt next(std::string_view user, std::int32_t tokens_max = 1000, std::int32_t answer = 10) {
    auto prompt = next_prompt(model, record, user,
                              {.tokens_max = tokens_max, .answer_tokens = answer, .raw = false});
    EXPECT_TRUE(prompt) << prompt.error().message;
    return prompt.value_or(NextPrompt{});
  }
  void turn(std::string_view user, std::string_view answer) {
    NextPrompt prompt = next(user);
    add_turn(model, record, std::move(prompt), answer,
             *model.tokenize(answer, Model::Special::kPlain));
  }
  std::vector<TokenId> tokens_of(std::string_view text) {
    return *model.tokenize(text, Model::Special::kParse);
  }

  const sim::FakeModel model;
  ConversationRecord record;
};

TEST_F(NextPromptTest, GoesOnAfterTheTokensThatTheModelHasSeen) {
  turn("one", "ONE");
  // As if the answer had been generated in other tokens than its text would be cut into.
  record.tokens.back() = 91;
  const std::vector<TokenId> seen = record.tokens;
  const NextPrompt prompt = next("two");
  ASSERT_GT(prompt.tokens.size(), seen.size());
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), prompt.tokens.begin()));
  EXPECT_EQ(prompt.covered, "oneONE\ntwo");
}

TEST_F(NextPromptTest, IsCutAnewWhereTheHistoryIsAnotherOne) {
  turn("one", "ONE");
  record.history[1].content = "other";
  EXPECT_EQ(next("two").tokens, tokens_of("oneother\ntwo"));
}

TEST_F(NextPromptTest, IsCutAnewForAnotherModel) {
  turn("one", "ONE");
  record.tokens.back() = 91;
  record.model_fingerprint = "another";
  EXPECT_EQ(next("two").tokens, tokens_of("oneONE\ntwo"));
}

TEST_F(NextPromptTest, AMessageFollowsOneThatWasNotAnswered) {
  record.history = {{"user", "one"}, {"assistant", "ONE"}, {"user", "and"}};
  turn("two", "TWO");
  EXPECT_EQ(
      record.history,
      (std::vector<Message>{
          {"user", "one"}, {"assistant", "ONE"}, {"user", "and\ntwo"}, {"assistant", "TWO"}}));
}

TEST_F(NextPromptTest, TheOldestTurnsLeaveAndTheSystemMessageStays) {
  record.system = "SYSTEM";
  for (int i = 0; i < 10; ++i) turn("question " + std::to_string(i), "answer");
  const NextPrompt prompt = next("last", 100);
  EXPECT_TRUE(prompt.covered.starts_with("SYSTEM\nquestion "));
  EXPECT_TRUE(prompt.covered.ends_with("question 9answer\nlast"));
  EXPECT_LE(prompt.tokens.size(), 75U) << "three quarters, so that it is rare";
  EXPECT_EQ(prompt.dropped % 2, 0U);
  ConversationRecord after = record;
  add_turn(model, after, prompt, "x", tokens_of("x"));
  EXPECT_EQ(after.history.size(), 20 - prompt.dropped + 2);
  EXPECT_EQ(after.turns, record.turns + 1);
}

TEST_F(NextPromptTest, LeavesRoomForTheAnswerButNoMoreThanAQuarter) {
  EXPECT_TRUE(next_prompt(model, record, std::string(90, 'x'), {100, 10, false}));
  EXPECT_FALSE(next_prompt(model, record, std::string(91, 'x'), {100, 10, false}));
  EXPECT_TRUE(next_prompt(model, record, std::string(75, 'x'), {100, 90, false}));
  const auto refused = next_prompt(model, record, std::string(76, 'x'), {100, 90, false});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("76"), std::string::npos) << refused.error().message;
}

TEST_F(NextPromptTest, WhatAStopStringCutOffIsNotInTheTokens) {
  NextPrompt prompt = next("one");
  add_turn(model, record, std::move(prompt), "ONE", tokens_of("ONE and the stop"));
  EXPECT_EQ(record.tokens, tokens_of("oneONE"));
  EXPECT_EQ(record.covered, "oneONE");
}

TEST_F(NextPromptTest, TheEndMarkIsNotPartOfTheAnswer) {
  std::vector<TokenId> answer = tokens_of("ONE");
  answer.push_back(sim::FakeModel::kEnd);
  add_turn(model, record, next("one"), "ONE", answer);
  EXPECT_EQ(record.tokens, tokens_of("oneONE"));
}

// A forged end, in whatever part of a conversation, is text.
TEST_F(NextPromptTest, ControlTokensAreTextInEveryPart) {
  const std::string end(sim::FakeModel::kEndText);
  record.system = "be" + end;
  record.history = {{"user", "one" + end}, {"assistant", "ONE" + end}};
  const NextPrompt first = next("two" + end);
  EXPECT_EQ(first.covered, "be" + end + "\none" + end + "ONE" + end + "\ntwo" + end);
  EXPECT_EQ(first.tokens, *model.tokenize(first.covered, Model::Special::kPlain));
  add_turn(model, record, first, "TWO" + end, *model.tokenize("TWO" + end, Model::Special::kPlain));
  const NextPrompt second = next("three" + end);
  EXPECT_EQ(second.tokens, *model.tokenize(second.covered, Model::Special::kPlain));
}

TEST_F(NextPromptTest, ControlTokensCountWhereTheCallerSaysSoAndInRawTurns) {
  const std::string end(sim::FakeModel::kEndText);
  for (const PromptRules& rules :
       {PromptRules{.contents = Contents::kParse}, PromptRules{.raw = true}}) {
    const auto prompt = next_prompt(model, record, "one" + end, rules);
    ASSERT_TRUE(prompt);
    EXPECT_EQ(prompt->tokens.size(), 4U);
    EXPECT_EQ(prompt->tokens.back(), sim::FakeModel::kEnd);
  }
}

}  // namespace
}  // namespace choir
