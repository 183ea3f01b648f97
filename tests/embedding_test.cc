// An encoder through the public API: all-MiniLM-L6-v2, made by tools/convert_minilm.py. Without the
// file, what needs it is skipped.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <future>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "choir/node.h"
#include "kernels/kernel_table.h"
#include "real_models.h"

namespace choir {
namespace {

constexpr int kTokensMax = 512;  // positions that the model was trained for
constexpr std::size_t kSize = 384;

std::string minilm() {
  const std::string path = models_folder() + "/all-minilm-l6-v2.gguf";
  return std::filesystem::exists(path) ? path : "";
}

std::unique_ptr<Node> node_with(const std::string& path, const NodeConfig& node_config = {}) {
  auto node = Node::create(node_config);
  EXPECT_TRUE(node) << node.error().message;
  ExecutorConfig config;
  config.name = "m";
  config.path = path;
  const Status added = (*node)->add(config);
  EXPECT_TRUE(added) << added.error().message;
  return std::move(*node);
}

std::string times(int count, const std::string& text) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

// As many tokens, and two that the model puts around every text.
std::string words(int count) { return times(count, "word "); }

double product(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b.at(i);
  return sum;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  return product(a, b) / std::sqrt(product(a, a) * product(b, b));
}

class Embedding : public testing::Test {
 protected:
  void SetUp() override {
    if (minilm().empty()) GTEST_SKIP() << "all-MiniLM-L6-v2 is not in the models folder";
    node_ = node_with(minilm());
  }
  std::vector<float> embed(const std::string& text) { return node_->embed("m", text).value(); }

  std::unique_ptr<Node> node_;
};

const std::string kMeeting =
    "The committee met for three hours on Tuesday evening to discuss the proposed changes to "
    "the city's public transport system, including longer opening times of the underground, "
    "cheaper tickets for students and pensioners, and new bus lanes on the four busiest roads. "
    "After many speeches from residents, shop owners and drivers, it voted by nine to four to "
    "begin with the bus lanes next spring and to look at the tickets again in a year. ";

// cosine: of the original weights, in double precision with the exact GELU, on the tokens of their
// own tokenizer. The authors of sentence-transformers print the same for the weather.
struct Pair {
  const char* name;
  std::string a;
  std::string b;
  double cosine;
};
void PrintTo(const Pair& pair, std::ostream* out) { *out << pair.name; }

const Pair kPairs[] = {
    {"Similar", "A man is playing a guitar on the stage.",
     "Someone performs music with a guitar for an audience.", 0.6806},
    {"Dissimilar", "A man is playing a guitar on the stage.",
     "The stock market fell sharply after the announcement.", -0.0918},
    {"Question", "How do I reset my password?",
     "I forgot my login details and cannot get into my account.", 0.6534},
    {"Weather", "The weather is lovely today.", "It's so sunny outside!", 0.6660},
    {"WeatherAndStadium", "The weather is lovely today.", "He drove to the stadium.", 0.1046},
    {"Long", kMeeting, "City councillors decided to build lanes for buses.", 0.6042},
    {"NearTheLimit", times(5, kMeeting), "City councillors decided to build lanes for buses.",
     0.4998},
    {"Punctuation", "Wait... what?! \"No,\" she said -- (quietly): 'it's over'; isn't it?",
     "She said quietly that it was over.", 0.7816},
    {"CapitalsAndAccents", "LE CAFÉ À ZÜRICH EST FERMÉ", "The café in Zürich is closed", 0.6428},
    {"Numbers", "The invoice of 2024-03-15 is for $1,234.56.",
     "In March 2024 we billed 1234.56 dollars.", 0.6361},
    {"OtherScripts", "我爱北京", "The weather in 北京 is cold.", 0.6043},
    {"OneWord", "cat", "kitten", 0.7882},
};

class EmbeddingPair : public Embedding, public testing::WithParamInterface<Pair> {};

TEST_P(EmbeddingPair, HasTheCosineOfTheOriginal) {
  constexpr double kFar = 0.01;  // weights as F16 move it by less than 0.001
  EXPECT_NEAR(cosine(embed(GetParam().a), embed(GetParam().b)), GetParam().cosine, kFar);
}
INSTANTIATE_TEST_SUITE_P(Minilm, EmbeddingPair, testing::ValuesIn(kPairs),
                         [](const auto& row) { return row.param.name; });

TEST_F(Embedding, HasTheModelsSizeAndALengthToDivideBy) {
  EXPECT_EQ(node_->executor("m")->model.embedding_size, static_cast<std::int32_t>(kSize));
  const std::vector<float> vector = embed("The weather is lovely today.");
  EXPECT_EQ(vector.size(), kSize);
  for (const float value : vector) EXPECT_TRUE(std::isfinite(value));
  EXPECT_GT(product(vector, vector), 0.01);
}

TEST_F(Embedding, CapitalsAndAccentsMakeNoDifference) {
  EXPECT_EQ(embed("LE CAFÉ À ZÜRICH"), embed("le cafe a zurich"));
}

TEST_F(Embedding, AnEncoderIsRefusedARequestToGenerate) {
  Request request;
  request.executor = "m";
  request.text = "Once upon a time";
  const auto refused = node_->submit(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_EQ(refused.error().message, "'m' is an encoder: it embeds text and generates none");
}

TEST(EmbeddingDecoder, IsRefused) {
  const auto node = node_with(stories());
  const auto refused = node->embed("m", "Once upon a time");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_EQ(refused.error().message, "'m' generates text; embeddings need an encoder model");
}

TEST_F(Embedding, ATextThatFillsTheModelIsEmbedded) {
  const std::string text = words(kTokensMax - 2);
  EXPECT_EQ(node_->tokenize("m", text)->size(), static_cast<std::size_t>(kTokensMax));
  EXPECT_EQ(embed(text).size(), kSize);
}

TEST_F(Embedding, OneTokenTooManyIsRefusedWithTheLimit) {
  const auto refused = node_->embed("m", words(kTokensMax - 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kTooLong);
  EXPECT_NE(refused.error().message.find("513 tokens"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("512"), std::string::npos) << refused.error().message;
}

TEST_F(Embedding, AThousandWordsLeaveTheNodeAlive) {
  const std::vector<float> before = embed("cat");
  EXPECT_FALSE(node_->embed("m", words(1000)));
  EXPECT_EQ(embed("cat"), before);
}

TEST_F(Embedding, TextWithoutTokensIsRefused) {
  for (const char* text : {"", " ", " \n\t ", "\xE2\x80\x8B" /* a space without width */}) {
    const auto refused = node_->embed("m", text);
    ASSERT_FALSE(refused) << '"' << text << '"';
    EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  }
}

TEST_F(Embedding, TheSameTextGivesTheSameBits) {
  const std::vector<float> first = embed(kMeeting);
  EXPECT_EQ(embed("cat").size(), kSize);
  EXPECT_EQ(embed(kMeeting), first);
}

TEST_F(Embedding, OneCoreGivesTheBitsOfAllCores) {
  NodeConfig config;
  config.cores = 1;
  EXPECT_EQ(node_with(minilm(), config)->embed("m", kMeeting).value(), embed(kMeeting));
}

TEST_F(Embedding, BesideOtherRequestsItGivesTheSameBits) {
  if (kernels::active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  const std::vector<std::string> texts = {"cat", kMeeting, words(300), "It's so sunny outside!"};
  std::vector<std::vector<float>> alone;
  for (const std::string& text : texts) alone.push_back(embed(text));

  ExecutorConfig config;
  config.name = "decoder";
  config.path = stories();
  ASSERT_TRUE(node_->add(config));
  std::vector<std::future<Completion>> generations;
  for (int i = 0; i < 4; ++i) {
    Request request;
    request.executor = "decoder";
    request.text = "Once upon a time";
    request.max_tokens = 200;
    request.ignore_eos = true;
    generations.push_back(std::move(node_->submit(request).value().result));
  }
  std::vector<std::vector<float>> beside(texts.size() * 3);
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < beside.size(); ++i)
    callers.emplace_back([&, i] { beside[i] = embed(texts[i % texts.size()]); });
  for (std::thread& caller : callers) caller.join();
  for (std::size_t i = 0; i < beside.size(); ++i)
    EXPECT_EQ(beside[i], alone[i % texts.size()]) << i;
  for (auto& generation : generations) EXPECT_EQ(generation.get().tokens.size(), 200U);
}

TEST_F(Embedding, SeveralTextsInOnePassGiveTheBitsOfEachAlone) {
  if (kernels::active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  EmbedRequest request{.executor = "m", .texts = {}};
  for (const Pair& pair : kPairs)
    if (pair.a.size() < 200) request.texts.push_back(pair.a);
  const auto before = node_->executor("m")->steps;
  const EmbedCompletion done = node_->submit_embed(request)->result.get();
  ASSERT_FALSE(done.error) << done.error->message;
  EXPECT_LT(node_->executor("m")->steps - before, request.texts.size());
  std::int32_t tokens = 0;
  for (std::size_t i = 0; i < request.texts.size(); ++i) {
    const choir::Embedding& got = done.embeddings.at(i);
    EXPECT_EQ(got.vector, embed(request.texts[i])) << request.texts[i];
    EXPECT_EQ(got.tokens, std::ssize(*node_->tokenize("m", request.texts[i])));
    tokens += got.tokens;
  }
  EXPECT_EQ(done.usage.prompt_tokens, tokens);
}

TEST_F(Embedding, TheTokensOfATextGiveItsBits) {
  if (kernels::active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  EmbedRequest request{.executor = "m", .texts = {}};
  for (const Pair& pair : kPairs) request.tokens.push_back(*node_->tokenize("m", pair.a));
  const EmbedCompletion done = node_->enqueue_embed(request)->result.get();
  ASSERT_FALSE(done.error) << done.error->message;
  for (std::size_t i = 0; i < request.tokens.size(); ++i)
    EXPECT_EQ(done.embeddings.at(i).vector, embed(kPairs[i].a)) << kPairs[i].a;
}

TEST_F(Embedding, TokensThatAreTooManyAreCutAsTheTextIs) {
  const std::string text = words(1000);
  EmbedRequest request{
      .executor = "m", .texts = {}, .tokens = {*node_->tokenize("m", text)}, .truncate = true};
  const EmbedCompletion of_tokens = node_->submit_embed(request)->result.get();
  request.tokens.clear();
  request.texts = {text};
  EXPECT_EQ(of_tokens.embeddings, node_->submit_embed(request)->result.get().embeddings);
}

TEST_F(Embedding, WhatIsTooLongIsCutToWhatFitsWhereThatIsWanted) {
  const std::string fits = words(kTokensMax - 2);
  const EmbedRequest request{.executor = "m", .texts = {words(1000), fits}, .truncate = true};
  const EmbedCompletion done = node_->submit_embed(request)->result.get();
  ASSERT_FALSE(done.error) << done.error->message;
  EXPECT_TRUE(done.embeddings[0].truncated);
  EXPECT_FALSE(done.embeddings[1].truncated);
  EXPECT_EQ(done.embeddings[0].tokens, kTokensMax);
  EXPECT_EQ(done.embeddings[0].vector, done.embeddings[1].vector);
}

TEST_F(Embedding, ANodeThatIsShutDownEmbedsNoMore) {
  node_->shutdown(Drain::kFinish);
  const auto refused = node_->embed("m", "cat");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCancelled);
}

}  // namespace
}  // namespace choir
