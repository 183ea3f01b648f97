// What only the real engine shows: the facts of llama.cpp that the runtime relies on.
#include "engine/llama_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>

#include "engine/kv_blob.h"
#include "engine/llama_model.h"
#include "engine/trial.h"
#include "engine_rig.h"
#include "policy/shared_front.h"
#include "real_models.h"

namespace choir {
namespace {

TEST(LlamaEngine, WritesAStoryWithTheTinyModel) {
  Rig rig(stories());
  const Tokens tokens = rig.greedy(kA, rig.prompt("Once upon a time"), 24);
  std::string text;
  for (const TokenId token : tokens) text += rig.model->piece(token);
  EXPECT_TRUE(text.starts_with(", there was a little girl named")) << text;
}

TEST(LlamaEngine, AnyMixOfPromptAndDecodeIsOnePass) {
  Rig rig(stories());
  const Tokens alone_a = rig.greedy(kA, rig.prompt("The cat"), 6);
  const Tokens alone_b = rig.greedy(kB, rig.prompt("One day, Tom and Lily"), 1);
  rig.engine->truncate(kA, 0);
  rig.engine->truncate(kB, 0);
  Tokens last = {rig.feed(kA, rig.prompt("The cat"))};
  EXPECT_EQ(last[0], alone_a[0]);
  const Tokens prompt = rig.prompt("One day, Tom and Lily");
  const StepPlan plan{.slices = {{kA, rig.engine->computed(kA), 1, true},
                                 {kB, 0, static_cast<std::int32_t>(prompt.size()), true}},
                      .preempted = {}};
  ASSERT_EQ(rig.run(plan, {last, prompt}).value(), RunOutcome::kDone);
  EXPECT_EQ(rig.argmax(0), alone_a[1]);
  EXPECT_EQ(rig.argmax(1), alone_b[0]);
}

TEST(LlamaEngine, ChunksOfAPromptGiveTheSameTokens) {
  Rig rig(stories());
  const Tokens prompt =
      rig.prompt("Once upon a time there was a big dog who liked to run in the park");
  const Tokens whole = rig.greedy(kA, prompt, 8);
  for (std::size_t at = 0; at < prompt.size() - 1; at += 3)
    rig.feed(kB,
             {prompt.begin() + static_cast<std::ptrdiff_t>(at),
              prompt.begin() + static_cast<std::ptrdiff_t>(std::min(at + 3, prompt.size() - 1))});
  EXPECT_EQ(rig.greedy(kB, {prompt.back()}, 8), whole);
}

TEST(LlamaEngine, SavedStateGoesOnInAnotherEngineAndInASmallerOne) {
  for (const std::string& path : all_models()) {
    SCOPED_TRACE(path);
    Rig rig(path);
    const Tokens prompt = rig.prompt("Once upon a time there was a");
    const TokenId next = rig.feed(kA, prompt);
    const std::string blob = rig.engine->save(kA).value();
    const Tokens rest = rig.greedy(kA, {next}, 12);
    Rig other(path, {.context_tokens = 256, .sequences_max = 2, .batch_tokens_max = 64});
    // The other engine only takes what its own model wrote; both were opened with one fingerprint.
    ASSERT_TRUE(other.engine->restore(kB, blob));
    EXPECT_EQ(other.engine->computed(kB), static_cast<std::int32_t>(prompt.size()));
    EXPECT_EQ(other.greedy(kB, {next}, 12), rest);
  }
}

TEST(LlamaEngine, ATornOrForeignStateIsRefusedAndLeavesNothing) {
  Rig rig(stories());
  rig.feed(kA, rig.prompt("Once upon a time"));
  const std::string blob = rig.engine->save(kA).value();
  for (std::size_t cut = 0; cut < blob.size(); cut += 97)
    EXPECT_FALSE(rig.engine->restore(kB, std::string_view(blob).substr(0, cut)));
  std::string altered = blob;
  altered[blob.size() / 2] ^= 1;
  EXPECT_EQ(rig.engine->restore(kB, altered).error().message, "KV state is torn or altered");
  const auto inside = unwrap_kv(blob).value();
  auto foreign = inside.header;
  foreign.model_fingerprint = "other";
  EXPECT_EQ(rig.engine->restore(kB, wrap_kv(foreign, inside.state)).error().message,
            "KV state belongs to another model or KV type");
  EXPECT_EQ(rig.engine->computed(kB), 0);
  ASSERT_TRUE(rig.engine->restore(kB, blob));
}

TEST(LlamaEngine, AForkGoesOnLikeItsOrigin) {
  for (const std::string& path : all_models()) {
    SCOPED_TRACE(path);
    Rig rig(path);
    const Tokens prompt = rig.prompt("The little bird could not fly because");
    const TokenId next = rig.feed(kA, prompt);
    ASSERT_EQ(rig.engine->fork(kA, kB, static_cast<std::int32_t>(prompt.size())).value(),
              static_cast<std::int32_t>(prompt.size()));
    const Tokens rest = rig.greedy(kA, {next}, 6);
    rig.engine->truncate(kA, 0);
    EXPECT_EQ(rig.greedy(kB, {next}, 6), rest) << "the origin has left, the fork has not";
  }
}

TEST(LlamaEngine, CellsOfAForkAreThoseOfItsOrigin) {
  Rig rig(all_models().front());
  const Tokens prompt = rig.prompt("The little bird could not fly because");
  const auto size = static_cast<std::int32_t>(prompt.size());
  const auto size_of = [&](SeqId seq) {
    std::int32_t cells = 0;
    for (const CellRun& run : rig.engine->cell_runs(seq)) cells += run.cells;
    return cells;
  };
  const auto shared = [&] {
    return shared_cells(rig.engine->cell_runs(kA), rig.engine->cell_runs(kB));
  };
  EXPECT_TRUE(rig.engine->cell_runs(kA).empty());
  const TokenId next = rig.feed(kA, prompt);
  ASSERT_EQ(rig.engine->fork(kA, kB, size - 1).value(), size - 1);
  EXPECT_EQ(shared(), size - 1);
  rig.greedy(kB, {next}, 3);
  EXPECT_EQ(size_of(kB), rig.engine->computed(kB));
  EXPECT_EQ(shared(), size - 1) << "what a fork computes is its own";
  rig.engine->truncate(kA, 3);
  rig.greedy(kA, {prompt[3]}, 3);
  EXPECT_EQ(size_of(kA), rig.engine->computed(kA));
  EXPECT_EQ(shared(), 3) << "what was cut off and computed again are other cells";
  rig.engine->truncate(kA, 0);
  EXPECT_TRUE(rig.engine->cell_runs(kA).empty());
  rig.engine->rename(kB, kA);
  EXPECT_EQ(size_of(kA), rig.engine->computed(kA));
}

TEST(LlamaEngine, TruncationAndRecomputationGiveTheSameTokens) {
  for (const std::string& path : all_models()) {
    SCOPED_TRACE(path);
    Rig rig(path);
    const Tokens prompt = rig.prompt("Sara had a red ball and a blue");
    const Tokens first = rig.greedy(kA, prompt, 6);
    const auto keep = static_cast<std::int32_t>(prompt.size()) - 1;
    const std::int32_t kept = rig.engine->truncate(kA, keep);
    ASSERT_TRUE(kept == keep || kept == 0);
    EXPECT_EQ(rig.greedy(kA, {prompt.begin() + kept, prompt.end()}, 6), first);
  }
}

TEST(LlamaEngine, ASlidingWindowWithAHoleIsRecomputedFromTheStart) {
  if (gemma().empty()) GTEST_SKIP() << "Gemma 3 270M is not in the models folder";
  Rig rig(gemma(), {.context_tokens = 2048, .sequences_max = 1, .batch_tokens_max = 256});
  const std::int32_t window = rig.model->info().sliding_window_tokens;
  ASSERT_GT(window, 0);
  Tokens tokens = {rig.prompt("x").front()};
  while (static_cast<std::int32_t>(tokens.size()) < 2 * window)
    tokens.push_back(static_cast<TokenId>(1000 + tokens.size() % 500));
  for (std::size_t at = 0; at < tokens.size(); at += 256)
    rig.feed(kA, {tokens.begin() + static_cast<std::ptrdiff_t>(at),
                  tokens.begin() + static_cast<std::ptrdiff_t>(std::min(at + 256, tokens.size()))});
  EXPECT_EQ(rig.engine->truncate(kA, window / 2), 0) << "those cells left the window long ago";
  EXPECT_EQ(rig.engine->computed(kA), 0);
}

TEST(LlamaEngine, AnAbortedPassIsUndoneForEverybody) {
  Rig rig(stories());
  rig.feed(kA, rig.prompt("Once upon a time"));
  const std::int32_t before = rig.engine->computed(kA);
  AbortSignal stop(rig.clock);
  stop.raise();
  const Tokens a = {5};
  const Tokens b = rig.prompt("The cat sat on the mat and looked");
  const StepPlan plan{
      .slices = {{kA, before, 1, true}, {kB, 0, static_cast<std::int32_t>(b.size()), true}},
      .preempted = {}};
  const std::array<std::span<const TokenId>, 2> spans = {a, b};
  EXPECT_EQ(rig.engine->run(plan, spans, stop).value(), RunOutcome::kAborted);
  EXPECT_EQ(rig.engine->computed(kA), before);
  EXPECT_EQ(rig.engine->computed(kB), 0);
  // And everything goes on: the slot of B is free again, four sequences fit.
  for (std::uint64_t id = 100; id < 103; ++id) rig.feed(SeqId{id}, {1, 2, 3});
  for (std::uint64_t id = 100; id < 103; ++id) rig.engine->truncate(SeqId{id}, 0);
  EXPECT_EQ(rig.run(plan, {a, b}).value(), RunOutcome::kDone);
}

TEST(LlamaEngine, MoreTokensThanCellsIsAnAnswer) {
  Rig rig(stories(), {.context_tokens = 256, .sequences_max = 2, .batch_tokens_max = 128});
  const Tokens chunk(100, 7);
  rig.feed(kA, chunk);
  rig.feed(kB, chunk);
  const StepPlan plan{.slices = {{kA, 100, 100, true}}, .preempted = {}};
  EXPECT_EQ(rig.run(plan, {chunk}).value(), RunOutcome::kNoCells);
  EXPECT_EQ(rig.engine->computed(kA), 100);
  rig.engine->truncate(kB, 0);
  EXPECT_EQ(rig.run(plan, {chunk}).value(), RunOutcome::kDone);
}

TEST(LlamaEngine, MeasuredBytesAreTheBytesTaken) {
  for (const std::string& path : all_models())
    for (const EngineConfig& config :
         {EngineConfig{.context_tokens = 512,
         .sequences_max = 1,
         .batch_tokens_max = 64,
         .kv_type = path == stories() ? KvType::kF16 : KvType::kQ80},
          EngineConfig{.context_tokens = 4096, .sequences_max = 8, .batch_tokens_max = 512}}) {
      SCOPED_TRACE(path);
      const ExecutorBytes before = measure_file(path, config).value();
      const Rig rig(path, config);
      EXPECT_EQ(before.kv, rig.engine->sizes().kv);
      EXPECT_EQ(before.weights, rig.engine->sizes().weights);
      EXPECT_EQ(before.compute, rig.engine->sizes().compute);
    }
}

TEST(LlamaEngine, CellsOfQ8TakeTheBytesThatTheModelSays) {
  if (smollm2().empty()) GTEST_SKIP() << "SmolLM2 is not in the models folder";
  EngineConfig config{.context_tokens = 1024, .sequences_max = 1, .batch_tokens_max = 64};
  const Rig halves(smollm2(), config);
  config.kv_type = KvType::kQ80;
  const Rig blocks(smollm2(), config);
  const ModelInfo& info = blocks.model->info();
  EXPECT_EQ(halves.engine->sizes().kv, 1024 * info.kv_bytes_per_token);
  EXPECT_EQ(blocks.engine->sizes().kv, 1024 * info.kv_bytes_per_token_q8_0);
  EXPECT_EQ(info.kv_bytes_per_token_q8_0 * 64, info.kv_bytes_per_token * 34);
}

TEST(LlamaEngine, HeadsThatAreNoWholeBlocksHaveNoQ8) {
  const EngineConfig config{
      .context_tokens = 512, .sequences_max = 1, .batch_tokens_max = 64, .kv_type = KvType::kQ80};
  const auto model = LlamaModel::open(stories(), LlamaModel::Load::kWeights, "t").value();
  EXPECT_EQ(model->info().kv_bytes_per_token_q8_0, 0U);
  const Error want{Code::kInvalidArgument, "kv_type is q8_0, which keeps blocks of 32, and '" +
                                               model->info().name + "' has heads of 8; take f16"};
  EXPECT_EQ(LlamaEngine::create(model, config).error(), want);
  EXPECT_EQ(measure_file(stories(), config).error(), want);
  EXPECT_TRUE(try_file(stories(), config, 1ULL << 40)) << "the file is as good as it was";
}

TEST(LlamaEngine, AStateOfOneKvTypeIsNoneOfTheOther) {
  if (smollm2().empty()) GTEST_SKIP() << "SmolLM2 is not in the models folder";
  EngineConfig config{.context_tokens = 512, .sequences_max = 2, .batch_tokens_max = 64};
  Rig halves(smollm2(), config);
  config.kv_type = KvType::kQ80;
  Rig blocks(smollm2(), config);
  for (Rig* rig : {&halves, &blocks}) rig->feed(kA, rig->prompt("Once upon a time"));
  const std::string of_halves = halves.engine->save(kA).value();
  const std::string of_blocks = blocks.engine->save(kA).value();
  EXPECT_EQ(halves.engine->restore(kB, of_blocks).error().code, Code::kInvalidArgument);
  EXPECT_EQ(blocks.engine->restore(kB, of_halves).error().code, Code::kInvalidArgument);
  EXPECT_EQ(blocks.engine->computed(kB), 0);
  EXPECT_TRUE(blocks.engine->restore(kB, of_blocks));
}

TEST(LlamaEngine, GemmasScratchStaysSmallWithManyTokensInABatch) {
  if (gemma().empty()) GTEST_SKIP() << "Gemma 3 270M is not in the models folder";
  const auto bytes =
      measure_file(gemma(), {.context_tokens = 4096, .sequences_max = 8, .batch_tokens_max = 512})
          .value();
  EXPECT_LT(bytes.compute, 64ULL << 20)
      << "an output for each token of the batch would take 514 MiB";
}

TEST(LlamaEngine, ADecoderDoesNotEmbed) {
  Rig rig(stories());
  const Tokens tokens = {1, 2};
  const std::array<std::span<const TokenId>, 1> texts = {tokens};
  EXPECT_EQ(rig.engine->embed(texts, rig.never).error().code, Code::kInvalidArgument);
}

TEST(LlamaModel, KnowsItsTemplateOrHasNone) {
  const auto tiny = LlamaModel::open(stories(), LlamaModel::Load::kWithoutWeights, "t").value();
  EXPECT_TRUE(tiny->info().chat_template.empty()) << "the library would silently give ChatML";
  const std::array<Message, 2> chat = {Message{"system", "Be brief."}, Message{"user", "Hello"}};
  EXPECT_EQ(tiny->render(chat, Contents::kText)->text, "Be brief.\nHello");
  if (smollm2().empty()) GTEST_SKIP() << "SmolLM2 is not in the models folder";
  const auto smol = LlamaModel::open(smollm2(), LlamaModel::Load::kWithoutWeights, "t").value();
  EXPECT_EQ(smol->render(chat, Contents::kText)->text,
            "<|im_start|>system\nBe "
            "brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
}

TEST(LlamaModel, PiecesOfATokenizedTextAreTheText) {
  for (const std::string& path : all_models()) {
    const auto model = LlamaModel::open(path, LlamaModel::Load::kWithoutWeights, "t").value();
    const std::string text = "Grüße, 世界! 🎉 tabs\tand  spaces";
    std::string back;
    const auto tokens = model->tokenize(text, Model::Special::kPlain).value();
    for (const TokenId token : tokens) back += model->piece(token);
    EXPECT_NE(back.find(text), std::string::npos) << back;
  }
}

}  // namespace
}  // namespace choir
