// Words are cut as the engine's own function cuts them, by the expressions of every tokenizer that
// it knows.
#include "engine/word_split.h"

#include <gguf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "engine/llama_model.h"
#include "temp_folder.h"

namespace choir {
namespace {

std::string vocabulary() { return std::string(CHOIR_VOCABULARIES) + "/ggml-vocab-gpt-2.gguf"; }
bool have_vocabularies() { return std::filesystem::exists(vocabulary()); }

constexpr std::array kTokenizers = {"default",
                                    "llama-bpe",
                                    "minicpm5",
                                    "jais-2",
                                    "gemma4",
                                    "deepseek-llm",
                                    "deepseek-coder",
                                    "deepseek-v3",
                                    "spark2_5",
                                    "youtu",
                                    "falcon",
                                    "mpt",
                                    "starcoder",
                                    "gpt-2",
                                    "roberta-bpe",
                                    "whitespace",
                                    "refact",
                                    "command-r",
                                    "qwen2",
                                    "qwen35",
                                    "stablelm2",
                                    "olmo",
                                    "dbrx",
                                    "smaug-bpe",
                                    "poro-chat",
                                    "chatglm-bpe",
                                    "viking",
                                    "jais",
                                    "tekken",
                                    "smollm",
                                    "codeshell",
                                    "bloom",
                                    "gpt3-finnish",
                                    "exaone",
                                    "exaone-moe",
                                    "chameleon",
                                    "minerva-7b",
                                    "megrez",
                                    "gpt-4o",
                                    "tiny_aya",
                                    "superbpe",
                                    "trillion",
                                    "granite-docling",
                                    "bailingmoe",
                                    "seed-coder",
                                    "hunyuan",
                                    "hunyuan-dense",
                                    "hy_v4",
                                    "joyai-llm",
                                    "kimi-k2",
                                    "ufakzeka",
                                    "grok-2",
                                    "afmoe",
                                    "laguna",
                                    "minimax-m2",
                                    "solar-open",
                                    "mellum2",
                                    "granite-embed-multi-97m"};

// A byte-level vocabulary with another way to cut text into words splits once.
void split_by(const std::string& tokenizer) {
  const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(
      gguf_init_from_file(vocabulary().c_str(), {.no_alloc = true, .ctx = nullptr}), &gguf_free);
  gguf_set_val_str(file.get(), "tokenizer.ggml.pre", tokenizer.c_str());
  const TempFolder folder;
  const std::string path = folder / "vocabulary.gguf";
  ASSERT_TRUE(gguf_write_to_file(file.get(), path.c_str(), /*only_meta=*/true));
  const auto model = LlamaModel::open(path, LlamaModel::Load::kVocabulary, "a");
  ASSERT_TRUE(model) << model.error().message;
  ASSERT_TRUE((*model)->tokenize("a b", Model::Special::kPlain));
}

const std::vector<std::string> kPieces = {" ",
                                          " ",
                                          " ",
                                          "  ",
                                          "\n",
                                          "\r\n",
                                          "\t",
                                          "\n\n  ",
                                          "\xC2\xA0",
                                          "\xE3\x80\x80",
                                          "\xE2\x80\xA8",
                                          "\xC2\x85",
                                          "a",
                                          "The",
                                          "sky",
                                          "HTTPServer",
                                          "snake_case",
                                          "'s",
                                          "'LL",
                                          "'re",
                                          "don't",
                                          "I'VE",
                                          "1",
                                          "22",
                                          "1234567",
                                          "3.14",
                                          "\xD9\xA3\xD9\xA4",
                                          "\xC2\xBD",
                                          "!",
                                          "...",
                                          "?!",
                                          "(a)",
                                          "[",
                                          "]",
                                          "^",
                                          "\\",
                                          "$+<=>~|`",
                                          "{}",
                                          "/",
                                          "//\n",
                                          "<sentinel:12>",
                                          "IMGIMGABZ",
                                          "\xC3\xA9t\xC3\xA9",
                                          "e\xCC\x81",
                                          "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82",
                                          "\xCE\xA3\xCE\xBF",
                                          "\xE4\xB8\xAD\xE6\x96\x87",
                                          "\xE3\x81\x8B\xE3\x83\x8A",
                                          "\xED\x95\x9C\xEA\xB8\x80",
                                          "\xE0\xB8\x81\xE0\xB8\xB3",
                                          "\xE0\xA6\x95\xE0\xA7\x8D",
                                          "\xF0\x9F\x98\x80",
                                          "\xF0\x90\x90\x80",
                                          "\xEF\xBC\x81",
                                          "\xE2\x80\x9C",
                                          "\xE3\x80\x82",
                                          "\xF0\xA0\x80\x80",
                                          "\xEF\xBF\xBD",
                                          "\xC7\x85",
                                          "\xCA\xB0",
                                          "\xE2\x85\xA7",
                                          std::string(1, '\0'),
                                          "\x7F"};
const std::vector<std::string> kInvalid = {
    "\xFF", "\xC3", "\xE4\xB8", "\x80", "\xC0\x80", "\xED\xA0\x80", "\xF0\x9F", "\xF5\x80\x80\x80"};

std::string random_text(std::mt19937& rng) {
  std::string text;
  const bool valid = rng() % 4 != 0;
  for (auto parts = rng() % 40; parts > 0; --parts) {
    const std::string& piece = !valid && rng() % 8 == 0 ? kInvalid[rng() % kInvalid.size()]
                                                        : kPieces[rng() % kPieces.size()];
    for (auto times = rng() % 16 == 0 ? rng() % 60 : 1; times > 0; --times) text += piece;
  }
  return text;
}

// What both threw counts as a result too.
template <class Split>
std::vector<std::string> words_of(const Split& split, const std::string& text,
                                  const std::vector<std::string>& expressions, bool byte_encode) {
  try {
    return split(text, expressions, byte_encode);
  } catch (const std::exception& error) {
    return {"thrown", error.what()};
  }
}

TEST(WordSplitProperty, WordsAreThoseOfTheEngine) {
  if (!have_vocabularies()) GTEST_SKIP() << "the engine's source has no vocabularies";
  for (const char* tokenizer : kTokenizers) {
    SCOPED_TRACE(tokenizer);
    ASSERT_NO_FATAL_FAILURE(split_by(tokenizer));
  }
  const auto kinds = split_kinds();
  EXPECT_GE(kinds.size(), 30U);  // fewer: the linker has not put ours in place of the engine's
  std::mt19937 rng(5);
  for (const auto& expressions : kinds)
    for (int i = 0; i < 40; ++i) {
      std::string text = i == 0 ? std::string() : random_text(rng);
      const bool byte_encode = rng() % 4 != 0;
      if (!byte_encode) std::ranges::replace(text, ' ', '_');  // as such tokenizers do before
      ASSERT_EQ(words_of(split_words, text, expressions, byte_encode),
                words_of(split_words_by_engine, text, expressions, byte_encode))
          << "expression " << expressions.front() << ", text " << testing::PrintToString(text);
    }
}

std::string random_digits(std::mt19937& rng) {
  static const std::vector<std::string> kBetween = {" ", "a", ",", "\n", "\xD9\xA3", "\xC2\xBD"};
  std::string text;
  for (auto runs = rng() % 4; runs > 0; --runs) {
    for (auto digits = rng() % 16; digits > 0; --digits)
      text += static_cast<char>('0' + rng() % 10);
    if (rng() % 4 != 0) text += kBetween[rng() % kBetween.size()];
  }
  return text;
}

TEST(WordSplitProperty, RunsOfDigitsAreThoseOfTheEngine) {
  const std::string triples = "(?=(\\d{3})+(?!\\d))";
  std::mt19937 rng(7);
  for (const std::vector<std::string>& expressions :
       {std::vector<std::string>{"\\p{N}+", triples}, {triples}, {"[a-z]", triples, "[0-9][0-9]"}})
    for (int i = 0; i < 400; ++i) {
      const std::string text = random_digits(rng);
      ASSERT_EQ(split_words(text, expressions, true),
                split_words_by_engine(text, expressions, true))
          << expressions.size() << " expressions, text " << testing::PrintToString(text);
    }
}

// With work that grows with the square of their number it would take an hour: the test has a limit
// of ten minutes.
TEST(WordSplit, TripletsOfDigitsAreFoundInOneWalk) {
  const auto words = split_words(std::string(600'000, '7'), {"(?=(\\d{3})+(?!\\d))"}, true);
  EXPECT_EQ(std::ranges::count(words, "777"), 200'000);
  EXPECT_EQ(std::ranges::count(words, ""), 200'000);
}

TEST(WordSplit, AnExpressionThatCannotBeCompiledIsRefusedByTheEngine) {
  for (const std::string& wrong : {std::string("("), std::string("\\p{N}\xC3\xA9")})
    EXPECT_THROW(split_words("a", {wrong}, true), std::runtime_error) << wrong;
}

TEST(WordSplit, ThreadsShareTheExpressions) {
  const std::vector<std::string> expressions = {"\\p{N}", "[a-f]+"};
  const auto want = split_words_by_engine("abc 12 xyz fed 9", expressions, true);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int run = 0; run < 200; ++run)
        wrong += split_words("abc 12 xyz fed 9", expressions, true) == want ? 0 : 1;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace choir
