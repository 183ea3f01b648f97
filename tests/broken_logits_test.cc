// A model that computes NaN: whoever gets it fails and says so, and nobody else notices.
#include <future>

#include "executor_stage.h"

namespace choir {
namespace {

constexpr TokenId kPoison = 89;  // with_front() gives none
constexpr ConversationKey kTalk{5};

Stage::Options poisoned() {
  Stage::Options options;
  options.rules.nan_token = kPoison;
  return options;
}

Tokens broken_prompt(std::int32_t front) {
  Tokens tokens = with_front(front, 1);
  tokens.back() = kPoison;
  return tokens;
}

TEST(BrokenLogits, FailTheirRequestAndNobodyElse) {
  Stage stage(poisoned());
  const auto before = stage.post(with_front(20, 2));
  const auto broken = stage.post(broken_prompt(20));
  const auto after = stage.post(with_front(20, 3));
  stage.turns();
  EXPECT_EQ(stage.end_of(before).finish, Finish::kLength);  // and its tokens are its own
  EXPECT_EQ(stage.end_of(after).finish, Finish::kLength);
  const Completion end = stage.end_of(broken);
  EXPECT_EQ(end.finish, Finish::kFailed);
  ASSERT_TRUE(end.error);
  EXPECT_EQ(end.error->code, Code::kEngineFailed);
  EXPECT_EQ(end.error->message,
            "model 'fake' in 'stage' computed logits that are not numbers for position 22 of the "
            "sequence; its file may be damaged");
  EXPECT_TRUE(end.tokens.empty());
  EXPECT_EQ(stage.executor->stats().requests_failed.load(), 1U);
  EXPECT_EQ(stage.executor->stats().output_tokens.load(), 8U);
}

TEST(BrokenLogits, AfterSomeTokensLeaveThose) {
  Stage stage(poisoned());
  Sampling always;
  always.bias = {{kPoison, 1e9F}};
  const auto id = stage.post(with_front(4, 1), {.max_tokens = 9, .sampling = always});
  stage.turns();
  const Completion end = stage.end_of(id);
  EXPECT_EQ(end.finish, Finish::kFailed);
  EXPECT_EQ(end.tokens, Tokens{kPoison});
}

TEST(BrokenLogits, CellsBehindThemAreNotShared) {
  Stage stage(poisoned());
  stage.ask(broken_prompt(50));
  EXPECT_EQ(stage.cached(), 0);
  EXPECT_EQ(stage.ask(with_front(50, 1)).usage.reused_tokens, 0);
}

TEST(BrokenLogits, CellsBehindThemAreNotKeptForAConversation) {
  Stage stage(poisoned());
  EXPECT_EQ(stage.ask(broken_prompt(50), {.talk = kTalk}).finish, Finish::kFailed);
  EXPECT_FALSE(stage.executor->kept().holds(kTalk));
  EXPECT_EQ(stage.ask(with_front(50, 1), {.talk = kTalk}).finish, Finish::kLength);
}

TEST(BrokenEmbedding, IsAnErrorAndTheNextOneIsNot) {
  Stage stage(poisoned());
  sim::NullHome home;
  std::uint64_t id = 0;
  const auto embed = [&](const Tokens& tokens) -> Result<std::vector<float>> {
    const auto state = std::make_shared<RequestState>(RequestId{++id}, home, stage.executor->id(),
                                                      stage.clock.now(), Instant{}, Callbacks{});
    state->embedding = std::make_unique<EmbedWork>();
    state->embedding->texts = {tokens};
    state->embedding->embeddings.resize(1);
    EXPECT_TRUE(stage.executor->embeddings().post(state));
    stage.turns();
    EmbedCompletion end = state->embedding->completion(*state->take_end());
    if (end.error) return tl::unexpected(*end.error);
    return end.embeddings.front().vector;
  };
  const auto broken = embed(broken_prompt(3));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Code::kEngineFailed);
  EXPECT_EQ(broken.error().message,
            "model 'fake' in 'stage' computed an embedding of numbers that are not finite; its "
            "file may be damaged");
  EXPECT_EQ(embed(with_front(3, 1)).value(), std::vector<float>{5});
}

}  // namespace
}  // namespace choir
