// Requests to embed in an executor: which texts share a pass, who goes first, and which are not
// computed any more.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "runtime/executor.h"
#include "sim/fake_engine.h"
#include "sim/null_engine.h"

namespace choir {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using Tokens = std::vector<TokenId>;

class EmbeddingStage {
 public:
  static constexpr std::size_t kMost = 4;

  explicit EmbeddingStage(const sim::FakeRules& rules = {}) {
    ExecutorConfig config;
    config.name = "encoder";
    ExecutorRules limits;
    limits.mailbox_max = kMost;
    limits.node = node;
    auto fake = std::make_unique<sim::FakeEngine>(
        model_, EngineConfig{.context_tokens = 64, .sequences_max = 4, .batch_tokens_max = 64},
        rules, &clock);
    engine = fake.get();
    executor = std::make_unique<Executor>(
        ExecutorId{1}, config, model_, std::move(fake), limits, clock,
        [this](const std::shared_ptr<RequestState>& r) { ended.push_back(r->id.value); });
  }
  struct Ask {
    Priority priority = Priority::kNormal;
    Nanos deadline{0};
  };
  // Null when it was refused.
  std::shared_ptr<RequestState> post(std::vector<Tokens> texts, const Ask& ask) {
    const Instant deadline = ask.deadline > Nanos{0} ? clock.now() + ask.deadline : Instant{};
    auto state = std::make_shared<RequestState>(RequestId{++last_}, home_, executor->id(),
                                                clock.now(), deadline, Callbacks{});
    state->priority = ask.priority;
    state->embedding = std::make_unique<EmbedWork>();
    for (const Tokens& text : texts)
      state->embedding->embeddings.push_back({.tokens = static_cast<std::int32_t>(text.size())});
    state->embedding->texts = std::move(texts);
    return executor->embeddings().post(state) ? state : nullptr;
  }
  std::shared_ptr<RequestState> post(std::vector<Tokens> texts) {
    return post(std::move(texts), Ask{});
  }
  TurnResult turn() { return executor->turn(pool_, false); }
  std::uint64_t passes() const { return executor->stats().steps.load(); }
  static EmbedCompletion end_of(RequestState& state) {
    const auto end = state.take_end();
    EXPECT_TRUE(end) << "it has not ended";
    return end ? state.embedding->completion(*end) : EmbedCompletion{};
  }

  ManualClock clock;
  std::shared_ptr<NodeRules> node = std::make_shared<NodeRules>();
  sim::FakeEngine* engine = nullptr;
  std::vector<std::uint64_t> ended;  // in their order
  std::unique_ptr<Executor> executor;

 private:
  std::shared_ptr<const Model> model_ = std::make_shared<const sim::FakeModel>(512, false);
  sim::FakePool pool_{1};
  sim::NullHome home_;
  std::uint64_t last_ = 0;
};

std::vector<float> vector_of(const EmbedCompletion& done, std::size_t text) {
  return done.embeddings.at(text).vector;
}

TEST(ExecutorEmbeddings, TextsOfAllRequestsShareAPass) {
  EmbeddingStage stage;
  const auto one = stage.post({{1, 2}, {3}});
  const auto two = stage.post({{4, 5, 6}});
  stage.turn();
  EXPECT_EQ(stage.passes(), 1U);
  const EmbedCompletion first = EmbeddingStage::end_of(*one);
  EXPECT_EQ(vector_of(first, 0), std::vector<float>{2});
  EXPECT_EQ(vector_of(first, 1), std::vector<float>{1});
  EXPECT_EQ(vector_of(EmbeddingStage::end_of(*two), 0), std::vector<float>{3});
}

TEST(ExecutorEmbeddings, APassTakesNoMoreTextsThanSequencesAndNoMoreTokensThanABatch) {
  EmbeddingStage stage;
  const auto many = stage.post({{1}, {2}, {3}, {4}, {5}});
  stage.turn();
  EXPECT_EQ(many->embedding->next, 4U) << "sequences_max";
  EXPECT_EQ(many->progress.computed.load(), 4);
  stage.turn();
  EXPECT_TRUE(many->finished());
  const auto longer = stage.post({Tokens(40, 1), Tokens(24, 1), Tokens(1, 1)});
  stage.turn();
  EXPECT_EQ(longer->embedding->next, 2U) << "batch_tokens_max";
}

TEST(ExecutorEmbeddings, ABetterClassGoesFirstAndWaitingLifts) {
  EmbeddingStage stage;
  const std::vector<Tokens> whole_batch = {Tokens(64, 1)};
  (void)stage.post(whole_batch, {.priority = Priority::kLow});
  (void)stage.post(whole_batch, {.priority = Priority::kNormal});
  (void)stage.post(whole_batch, {.priority = Priority::kHigh});
  for (int i = 0; i < 3; ++i) stage.turn();
  EXPECT_EQ(stage.ended, (std::vector<std::uint64_t>{3, 2, 1}));
  stage.ended.clear();
  stage.executor->suspend();
  (void)stage.post(whole_batch, {.priority = Priority::kLow});
  stage.turn();
  stage.clock.advance(milliseconds(1500));
  (void)stage.post(whole_batch, {.priority = Priority::kHigh});
  stage.executor->resume();
  for (int i = 0; i < 2; ++i) stage.turn();
  EXPECT_EQ(stage.ended, (std::vector<std::uint64_t>{4, 5})) << "it has waited for long";
}

TEST(ExecutorEmbeddings, ACancelEndsItInTheMiddleOfAPassAndTheOthersAreComputed) {
  EmbeddingStage stage;
  const auto gone = stage.post({{1}});
  const auto stays = stage.post({{2, 3}});
  stage.engine->on_tick = [&] {
    stage.engine->on_tick = nullptr;
    gone->cancelled.store(true);
    stage.executor->interrupt(gone->id);
  };
  stage.turn();
  EXPECT_EQ(stage.passes(), 0U) << "the pass was cut short";
  EXPECT_EQ(EmbeddingStage::end_of(*gone).error->code, Code::kCancelled);
  EXPECT_FALSE(stays->finished());
  stage.turn();
  EXPECT_EQ(vector_of(EmbeddingStage::end_of(*stays), 0), std::vector<float>{2});
}

TEST(ExecutorEmbeddings, ASuspendedExecutorEndsWhatIsCancelledOrLate) {
  EmbeddingStage stage;
  stage.executor->suspend();
  const auto late = stage.post({{1}}, {.deadline = milliseconds(5)});
  const auto patient = stage.post({{1}});
  const auto cancelled = stage.post({{1}});
  EXPECT_EQ(stage.turn().wake_at, stage.clock.now() + milliseconds(5));
  cancelled->cancelled.store(true);
  EXPECT_EQ(stage.turn().best, std::nullopt) << "nothing to compute";
  EXPECT_EQ(EmbeddingStage::end_of(*cancelled).error->code, Code::kCancelled);
  stage.clock.advance(milliseconds(5));
  EXPECT_EQ(stage.turn().wake_at, std::nullopt);
  const EmbedCompletion end = EmbeddingStage::end_of(*late);
  EXPECT_EQ(end.error->code, Code::kDeadlineExceeded);
  EXPECT_EQ(end.error->message, "deadline exceeded: the embedding had 5 ms");
  EXPECT_TRUE(end.embeddings.empty());
  EXPECT_EQ(stage.passes(), 0U);
  stage.executor->resume();
  stage.turn();
  EXPECT_EQ(EmbeddingStage::end_of(*patient).error, std::nullopt);
  EXPECT_EQ(stage.passes(), 1U);
}

TEST(ExecutorEmbeddings, ADeadlineEndsThePass) {
  EmbeddingStage stage;
  const auto late = stage.post({{1}}, {.deadline = Nanos{1000}});  // a pass takes longer
  stage.turn();
  EXPECT_EQ(EmbeddingStage::end_of(*late).error->code, Code::kDeadlineExceeded);
}

TEST(ExecutorEmbeddings, AnUrgentArrivalCutsAPassShortOnce) {
  EmbeddingStage stage;
  (void)stage.post({Tokens(20, 1)});
  std::shared_ptr<RequestState> urgent;
  stage.engine->on_tick = [&] {
    if (!urgent) urgent = stage.post({{1}}, {.priority = Priority::kCritical});
  };
  stage.turn();
  EXPECT_EQ(stage.passes(), 0U);
  stage.turn();
  EXPECT_EQ(stage.ended.front(), urgent->id.value);
}

TEST(ExecutorEmbeddings, ATextThatTheEngineRefusesFailsItsRequestOnly) {
  EmbeddingStage stage({.refused_token = 7});
  const auto good = stage.post({{1, 2}});
  const auto bad = stage.post({{1}, {7}});
  const auto last = stage.post({{3}});
  for (int i = 0; i < 6; ++i) stage.turn();
  EXPECT_EQ(vector_of(EmbeddingStage::end_of(*good), 0), std::vector<float>{2});
  EXPECT_EQ(vector_of(EmbeddingStage::end_of(*last), 0), std::vector<float>{1});
  const EmbedCompletion end = EmbeddingStage::end_of(*bad);
  EXPECT_EQ(end.error->code, Code::kEngineFailed);
  EXPECT_TRUE(end.embeddings.empty());
}

TEST(ExecutorEmbeddings, ASuspendedExecutorTakesNoMoreThanItsMailboxAtOnce) {
  EmbeddingStage stage;
  for (std::size_t i = 0; i < EmbeddingStage::kMost; ++i) EXPECT_TRUE(stage.post({{1}}));
  EXPECT_FALSE(stage.post({{1}}));
  stage.turn();
  EXPECT_TRUE(stage.post({{1}})) << "there is room again";
}

TEST(ExecutorEmbeddings, OneRequestAtATimeComputesAloneWhereTheNodeSaysSo) {
  EmbeddingStage stage;
  const auto one = stage.post({{1}});
  const auto two = stage.post({{2}});
  stage.node->one_request.store(true);
  stage.node->turn_of.store(two->id);
  stage.turn();
  EXPECT_EQ(stage.ended, std::vector<std::uint64_t>{two->id.value});
  EXPECT_EQ(stage.turn().best, std::nullopt) << "it is not its turn";
  stage.node->turn_of.store(one->id);
  stage.turn();
  EXPECT_TRUE(one->finished());
}

TEST(ExecutorEmbeddings, MoveToAnotherExecutorWithWhatIsComputed) {
  EmbeddingStage from;
  EmbeddingStage to;
  const auto moves = from.post({{1}, {2}, {3}, {4}, {5, 6}});
  from.turn();
  to.executor->adopt(from.executor->extract());
  EXPECT_FALSE(from.executor->has_work());
  to.turn();
  const EmbedCompletion end = EmbeddingStage::end_of(*moves);
  EXPECT_EQ(vector_of(end, 0), std::vector<float>{1});
  EXPECT_EQ(vector_of(end, 4), std::vector<float>{2});
  EXPECT_EQ(to.executor->stats().prompt_tokens.load(), 2U);
}

TEST(ExecutorEmbeddings, AnExecutorDoesNotBecomeSmallerThanATextThatWaits) {
  EmbeddingStage stage;
  stage.executor->suspend();
  (void)stage.post({Tokens(40, 1)});
  ExecutorConfig small = stage.executor->config();
  small.context_tokens = 32;
  const EngineConfig engine{.context_tokens = 32, .sequences_max = 4, .batch_tokens_max = 32};
  std::unique_ptr<Engine> other = std::make_unique<sim::FakeEngine>(
      stage.executor->shared_model(), engine, sim::FakeRules{}, &stage.clock);
  EXPECT_EQ(stage.executor->swap_engine(other, small).error().code, Code::kInvalidArgument);
}

}  // namespace
}  // namespace choir
