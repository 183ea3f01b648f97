// Text without a break, through tokenizers of every kind: std::regex recurses over a word.
#include <gguf.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "engine/llama_model.h"
#include "temp_folder.h"

namespace choir {
namespace {

std::string vocabulary(const std::string& name) {
  return std::string(CHOIR_VOCABULARIES) + "/ggml-vocab-" + name + ".gguf";
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string times(std::size_t count, const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

std::string text_of(const Model& model, const std::vector<TokenId>& tokens) {
  std::string text;
  for (const TokenId token : tokens) text += model.piece(token);
  return text;
}

// A byte-level vocabulary with another way to cut text into words.
std::shared_ptr<const LlamaModel> with_words_of(const std::string& pre_tokenizer) {
  const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(
      gguf_init_from_file(vocabulary("gpt-2").c_str(), {.no_alloc = true, .ctx = nullptr}),
      &gguf_free);
  gguf_set_val_str(file.get(), "tokenizer.ggml.pre", pre_tokenizer.c_str());
  const TempFolder folder;
  const std::string path = folder / "vocabulary.gguf";
  EXPECT_TRUE(gguf_write_to_file(file.get(), path.c_str(), /*only_meta=*/true));
  auto model = LlamaModel::open(path, LlamaModel::Load::kVocabulary, "a");
  EXPECT_TRUE(model) << model.error().message;
  return model.value_or(nullptr);
}

bool have_vocabularies() { return std::filesystem::exists(vocabulary("gpt-2")); }

class LongWords : public testing::TestWithParam<const char*> {};

TEST_P(LongWords, AreTokenized) {
  if (!have_vocabularies()) GTEST_SKIP() << "the engine's source has no vocabularies";
  const auto model = with_words_of(GetParam());
  ASSERT_TRUE(model);
  for (const std::string& text :
       {times(30'000, "a"), times(30'000, "A"), times(100'000, " ") + "x", times(30'000, "!"),
        times(30'000, "\n"), times(30'000, "\xC3\xA9"), times(30'000, "\xE4\xB8\xAD"),
        times(30'000, "\xD9\x85"), times(30'000, "a b "), times(30'000, "\xCC\x81"),
        times(30'000, "\x80"), times(100'000, "1"), times(100'000, "\xD9\xA3")}) {
    const auto tokens = model->tokenize(text, Model::Special::kPlain);
    ASSERT_TRUE(tokens) << tokens.error().message;
    EXPECT_EQ(text_of(*model, *tokens) == text, text.front() != '\x80');  // else not UTF-8
  }
}

constexpr const char* kPreTokenizers[] = {"deepseek-llm",
                                          "deepseek-v3",
                                          "gpt-4o",
                                          "tekken",
                                          "deepseek-coder",
                                          "spark2_5",
                                          "youtu",
                                          "falcon",
                                          "default",
                                          "poro-chat",
                                          "viking",
                                          "chameleon",
                                          "tiny_aya",
                                          "kimi-k2",
                                          "superbpe",
                                          "bailingmoe",
                                          "seed-coder",
                                          "ufakzeka",
                                          "afmoe",
                                          "laguna",
                                          "exaone-moe",
                                          "minicpm5",
                                          "granite-embed-multi-97m",
                                          "llama-bpe",
                                          "gpt-2",
                                          "qwen2",
                                          "qwen35",
                                          "grok-2",
                                          "jais-2"};
INSTANTIATE_TEST_SUITE_P(, LongWords, testing::ValuesIn(kPreTokenizers), [](const auto& row) {
  std::string name = row.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  return name;
});

TEST(LongWord, ThatNeedsTooMuchIsRefusedWithItsLengthAndTheLimit) {
  if (!have_vocabularies()) GTEST_SKIP() << "the engine's source has no vocabularies";
  const auto model = with_words_of("gpt-4o");
  ASSERT_TRUE(model);
  const auto refused = model->tokenize(times(1 << 21, "a"), Model::Special::kParse);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("2097152 bytes without a break"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("at most 1048576"), std::string::npos);
}

// The engine ends the process for a pair of symbols of which one has a blank.
TEST(LongWord, WithBlanksIsRefusedWhereTheKeysOfTheTokenizerDoNotBelongTogether) {
  if (!have_vocabularies()) GTEST_SKIP() << "the engine's source has no vocabularies";
  const auto model = with_words_of("whitespace");
  ASSERT_TRUE(model);
  const auto refused = model->tokenize("a  b", Model::Special::kPlain);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("tokenizer.ggml.pre"), std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(model->tokenize("a b", Model::Special::kPlain));
}

// What the engine's authors took from the tokenizers that came with the models.
class Vocabulary : public testing::TestWithParam<const char*> {};

TEST_P(Vocabulary, GivesTheTokensOfItsOrigin) {
  const std::string path = vocabulary(GetParam());
  if (!std::filesystem::exists(path + ".inp")) GTEST_SKIP() << "no " << path << ".inp";
  const auto model = LlamaModel::open(path, LlamaModel::Load::kVocabulary, "a");
  ASSERT_TRUE(model) << model.error().message;
  const std::string texts = read(path + ".inp");
  std::istringstream rows(read(path + ".out"));
  const std::string mark = "\n__ggml_vocab_test__\n";
  std::string row;
  for (std::size_t begin = 0; begin < texts.size();) {
    const std::size_t end = std::min(texts.find(mark, begin), texts.size());
    ASSERT_TRUE(std::getline(rows, row));
    std::istringstream numbers(row);
    const std::vector<TokenId> want{std::istream_iterator<TokenId>(numbers), {}};
    const auto got = (*model)->tokenize(texts.substr(begin, end - begin), Model::Special::kPlain);
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, want) << texts.substr(begin, end - begin);
    begin = end + mark.size();
  }
}

constexpr const char* kVocabularies[] = {
    "bert-bge",  "command-r", "deepseek-coder", "deepseek-llm", "falcon", "gpt-2",    "llama-bpe",
    "llama-spm", "mpt",       "phi-3",          "qwen2",        "refact", "starcoder"};
INSTANTIATE_TEST_SUITE_P(, Vocabulary, testing::ValuesIn(kVocabularies), [](const auto& row) {
  std::string name = row.param;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace choir
