// The promise of our kernels on real models: a sequence's logits are the same bits alone and in any
// company, in any chunks, wherever its cells lie, on any number of threads.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>

#include "engine/llama_engine.h"
#include "engine/llama_model.h"
#include "engine/llama_pool.h"
#include "kernels/kernel_table.h"
#include "real_models.h"

namespace choir {
namespace {

using Tokens = std::vector<TokenId>;
using Rows = std::vector<std::vector<float>>;

constexpr SeqId kUs{1};

struct Rig {
  Rig(std::shared_ptr<const LlamaModel> shared, EngineConfig config, int threads)
      : cpus(static_cast<std::size_t>(threads), -1),
        pool(cpus),
        model(std::move(shared)),
        engine(LlamaEngine::create(model, config).value()) {
    engine->attach(pool);
  }
  ~Rig() { engine->detach(); }

  void run(const std::vector<Slice>& slices, const std::vector<Tokens>& tokens) {
    const std::vector<std::span<const TokenId>> spans(tokens.begin(), tokens.end());
    ASSERT_EQ(engine->run({.slices = slices, .preempted = {}}, spans, never).value(),
              RunOutcome::kDone);
  }
  std::vector<float> logits(std::size_t slice) {
    const auto row = engine->logits(slice);
    return {row.begin(), row.end()};
  }

  SteadyClock clock;
  AbortSignal never{clock};
  std::vector<int> cpus;
  LlamaPool pool;
  std::shared_ptr<const LlamaModel> model;
  std::unique_ptr<LlamaEngine> engine;
};

constexpr EngineConfig kConfig{.context_tokens = 2048, .sequences_max = 8, .batch_tokens_max = 256};

Tokens random_tokens(std::size_t count, std::mt19937& random, const ModelInfo& info) {
  std::uniform_int_distribution<TokenId> any(3, static_cast<TokenId>(info.vocab_tokens) - 1);
  Tokens out(count);
  for (TokenId& token : out) token = any(random);
  return out;
}

// The reference: alone, one token at a time, on one thread. Logits after each of the last `wanted`.
Rows alone(const std::shared_ptr<const LlamaModel>& model, const EngineConfig& config,
           const Tokens& tokens, std::size_t wanted) {
  Rig rig(model, config, 1);
  Rows out;
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    rig.run({{kUs, static_cast<std::int32_t>(at), 1, true}}, {{tokens[at]}});
    if (at + wanted >= tokens.size()) out.push_back(rig.logits(0));
  }
  return out;
}

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want,
                      const std::string& when) {
  ASSERT_EQ(got.size(), want.size());
  ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0) << when;
}

struct Subject {
  std::string path;
  KvType kv_type = KvType::kF16;
};
void PrintTo(const Subject& s, std::ostream* out) { *out << s.path << " " << to_string(s.kv_type); }

class KernelInvariance : public testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    if (kernels::active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
    model_ = LlamaModel::open(GetParam().path, LlamaModel::Load::kWeights, "test").value();
    config_.kv_type = GetParam().kv_type;
  }
  // What differs with the KV type is attention only, so there a part of the rows is enough.
  bool brief() const { return GetParam().kv_type != KvType::kF16; }
  template <class T>
  std::vector<T> some(std::vector<T> rows) const {
    if (brief()) rows = {rows[1]};
    return rows;
  }
  std::shared_ptr<const LlamaModel> model_;
  EngineConfig config_ = kConfig;
};

TEST_P(KernelInvariance, ChunksOfThePromptChangeNothing) {
  std::mt19937 random(11);
  const Tokens tokens = random_tokens(150, random, model_->info());
  const Rows want = alone(model_, config_, tokens, 1);
  for (const int threads : some<int>({1, 2}))
    for (const std::size_t chunk : some<std::size_t>({1, 7, 64, 150})) {
      Rig rig(model_, config_, threads);
      for (std::size_t at = 0; at < tokens.size(); at += chunk) {
        const std::size_t end = std::min(at + chunk, tokens.size());
        rig.run({{kUs, static_cast<std::int32_t>(at), static_cast<std::int32_t>(end - at), true}},
                {{tokens.begin() + static_cast<std::ptrdiff_t>(at),
                  tokens.begin() + static_cast<std::ptrdiff_t>(end)}});
      }
      expect_same_bits(rig.logits(0), want[0],
                       std::to_string(threads) + " threads, chunks of " + std::to_string(chunk));
    }
}

// Neighbours come with prompts of any length, decode, and leave; our cells end up between theirs.
TEST_P(KernelInvariance, NeighboursChangeNothing) {
  for (const unsigned seed : some<unsigned>({21, 22, 23})) {
    std::mt19937 random(seed);
    const Tokens tokens = random_tokens(120, random, model_->info());
    const std::size_t prompt = 40;
    const Rows want = alone(model_, config_, tokens, tokens.size() - prompt + 1);
    Rig rig(model_, config_, seed % 2 == 0 ? 2 : 1);
    std::uint64_t next_neighbour = 100;
    std::vector<SeqId> neighbours;
    std::size_t at = 0;
    while (at < tokens.size()) {
      const std::size_t count = at == 0 ? prompt : 1;
      std::vector<Slice> slices = {
          {kUs, static_cast<std::int32_t>(at), static_cast<std::int32_t>(count), true}};
      std::vector<Tokens> spans = {{tokens.begin() + static_cast<std::ptrdiff_t>(at),
                                    tokens.begin() + static_cast<std::ptrdiff_t>(at + count)}};
      for (const SeqId neighbour : neighbours) {
        slices.push_back({neighbour, rig.engine->computed(neighbour), 1, true});
        spans.push_back(random_tokens(1, random, model_->info()));
      }
      if (neighbours.size() < 6 && random() % 3 == 0) {
        neighbours.push_back(SeqId{next_neighbour++});
        spans.push_back(random_tokens(1 + random() % 60, random, model_->info()));
        slices.push_back(
            {neighbours.back(), 0, static_cast<std::int32_t>(spans.back().size()), true});
      }
      std::vector<std::size_t> order(slices.size());
      for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
      std::shuffle(order.begin(), order.end(), random);
      std::vector<Slice> mixed;
      std::vector<Tokens> mixed_spans;
      std::size_t ours = 0;
      for (const std::size_t i : order) {
        if (i == 0) ours = mixed.size();
        mixed.push_back(slices[i]);
        mixed_spans.push_back(spans[i]);
      }
      rig.run(mixed, mixed_spans);
      at += count;
      expect_same_bits(rig.logits(ours), want[at - prompt],
                       "seed " + std::to_string(seed) + ", token " + std::to_string(at));
      if (HasFatalFailure()) return;
      if (!neighbours.empty() && random() % 5 == 0) {
        const std::size_t leaves = random() % neighbours.size();
        rig.engine->truncate(neighbours[leaves], 0);
        neighbours.erase(neighbours.begin() + static_cast<std::ptrdiff_t>(leaves));
      }
    }
  }
}

// A neighbour computes the front, in other chunks and in company; both go on from the same cells.
TEST_P(KernelInvariance, AFrontThatAnotherComputedChangesNothing) {
  if (brief()) GTEST_SKIP() << "cells are shared whatever their type is";
  std::mt19937 random(41);
  const Tokens tokens = random_tokens(120, random, model_->info());
  const std::size_t front = 90;
  const auto at = static_cast<std::int32_t>(front);
  const Rows want = alone(model_, config_, tokens, tokens.size() - front);
  Rig rig(model_, config_, 2);
  const SeqId other{8};
  rig.run({{SeqId{9}, 0, 17, true}}, {random_tokens(17, random, model_->info())});
  const auto cut = tokens.begin() + 33;
  rig.run({{other, 0, 33, true}}, {{tokens.begin(), cut}});
  rig.run({{SeqId{9}, 17, 5, true}, {other, 33, at - 33, true}},
          {random_tokens(5, random, model_->info()), {cut, tokens.begin() + at}});
  ASSERT_EQ(rig.engine->fork(other, kUs, at).value(), at);
  for (std::size_t i = front; i < tokens.size(); ++i) {
    rig.run({{other, static_cast<std::int32_t>(i), 1, true},
             {kUs, static_cast<std::int32_t>(i), 1, true}},
            {random_tokens(1, random, model_->info()), {tokens[i]}});
    expect_same_bits(rig.logits(1), want[i - front], "token " + std::to_string(i));
    if (HasFatalFailure()) return;
    if (i == front + 10) rig.engine->truncate(SeqId{9}, 0);
  }
}

// Long enough that sliding windows wrap where the model has them.
TEST_P(KernelInvariance, ALongSequenceIsTheSameRestoredElsewhere) {
  std::mt19937 random(31);
  const auto context = static_cast<std::size_t>(
      std::min<std::int64_t>(700, model_->info().context_tokens_trained - 8));
  const Tokens tokens = random_tokens(context, random, model_->info());
  Rig whole(model_, config_, 2);
  const std::size_t cut = tokens.size() - 6;
  const auto feed = [&](Rig& rig, std::size_t begin, std::size_t end, std::size_t chunk) {
    for (std::size_t at = begin; at < end; at += chunk) {
      const std::size_t to = std::min(at + chunk, end);
      rig.run({{kUs, static_cast<std::int32_t>(at), static_cast<std::int32_t>(to - at), true}},
              {{tokens.begin() + static_cast<std::ptrdiff_t>(at),
                tokens.begin() + static_cast<std::ptrdiff_t>(to)}});
    }
  };
  feed(whole, 0, cut, 200);
  const std::string blob = whole.engine->save(kUs).value();
  feed(whole, cut, tokens.size(), 6);
  const std::vector<float> want = whole.logits(0);

  Rig other(model_, config_, 1);
  other.run({{SeqId{5}, 0, 33, true}}, {random_tokens(33, random, model_->info())});
  ASSERT_TRUE(other.engine->restore(kUs, blob));
  other.engine->truncate(SeqId{5}, 0);
  feed(other, cut, tokens.size(), 1);
  expect_same_bits(other.logits(0), want, "restored beside a neighbour that left");

  Rig small_chunks(model_, config_, 1);
  feed(small_chunks, 0, tokens.size(), 37);
  expect_same_bits(small_chunks.logits(0), want, "in chunks of 37");
}

std::vector<Subject> subjects() {
  std::vector<Subject> out;
  for (const std::string& path : all_models()) out.push_back({path});
  for (const std::string& path : {smollm2(), gemma()})
    if (!path.empty()) out.push_back({path, KvType::kQ80});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Models, KernelInvariance, testing::ValuesIn(subjects()),
                         [](const auto& test) {
                           const std::string& path = test.param.path;
                           std::string name = path.substr(path.rfind('/') + 1);
                           if (test.param.kv_type != KvType::kF16)
                             name += " " + std::string(to_string(test.param.kv_type));
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           return name;
                         });

}  // namespace
}  // namespace choir
