// Prompts that are rendered by a template alone are those that the engine's library makes of it.
#include "engine/chat_template.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "model_templates.h"
#include "real_models.h"

namespace choir {
namespace {

std::vector<Message> random_conversation(std::mt19937& rng) {
  static const std::vector<std::string> kParts = {"Why is the sky blue?",
                                                  " ",
                                                  "\n",
                                                  "<think>\nBecause.\n</think>",
                                                  "</think>",
                                                  "<|im_end|>",
                                                  "{{ content }}",
                                                  "\xC3\xA9t\xC3\xA9",
                                                  "{\"a\": [1, 2]}",
                                                  "1",
                                                  "true",
                                                  "<tool_call>"};
  std::vector<Message> messages;
  if (rng() % 2 == 0) messages.push_back({"system", ""});
  for (std::uint_fast32_t turns = 1 + rng() % 5, i = 0; i < turns; ++i)
    messages.push_back({(rng() % 8 == 0 ? i + 1 : i) % 2 == 0 ? "user" : "assistant", ""});
  for (Message& message : messages)
    for (std::uint_fast32_t parts = rng() % 4, i = 0; i < parts; ++i)
      message.content += kParts[rng() % kParts.size()];
  return messages;
}

const LlamaModel& qwen() {
  static const auto& model = *new std::shared_ptr<const LlamaModel>(
      LlamaModel::open(kModels + "/ggml-vocab-qwen2.gguf", LlamaModel::Load::kVocabulary, "a")
          .value());
  return *model;
}

// Null where the template cannot be read.
std::unique_ptr<ChatTemplate> template_of(const std::string& source) {
  return ChatTemplate::of(*qwen().handle(), source).value_or(nullptr);
}

TEST(ChatTemplateProperty, ATemplateAloneGivesWhatTheLibraryGives) {
  if (!have_templates()) GTEST_SKIP() << "the engine's source has no templates";
  int alone = 0;
  int all = 0;
  for (const auto& path : template_files()) {
    SCOPED_TRACE(path.filename());
    const auto chat = template_of(text_of(path));
    if (!chat) continue;
    ++all;
    if (!chat->alone()) continue;  // rendered by the library
    ++alone;
    std::mt19937 rng(7);
    for (int i = 0; i < 3; ++i) {  // the library takes its time
      const auto messages = random_conversation(rng);
      const auto now = ChatTemplate::now();
      const auto wanted = chat->render_by_library(messages, now);
      const auto found = chat->render(messages, now);
      ASSERT_EQ(found.has_value(), wanted.has_value()) << i;
      if (wanted) {
        ASSERT_EQ(*found, *wanted) << i;
      } else {
        ASSERT_EQ(found.error(), wanted.error()) << i;
      }
    }
  }
  std::cout << alone << " of " << all << " templates are rendered alone\n";
  EXPECT_GT(alone, all / 2);
}

TEST(ChatTemplate, ThatTheLibraryTreatsInAWayOfItsOwnIsLeftToIt) {
  if (!have_templates()) GTEST_SKIP() << "the engine's source has no templates";
  // It trims the messages of a template with this sentence.
  const auto chat = template_of(
      "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}"
      "{% if false %}You have access to the following functions in JSONSchema format{% endif %}");
  ASSERT_TRUE(chat);
  EXPECT_FALSE(chat->alone());
  const std::vector<Message> messages = {{"user", "  a "}};
  const auto now = ChatTemplate::now();
  EXPECT_EQ(chat->render(messages, now), chat->render_by_library(messages, now));
  EXPECT_EQ(chat->render(messages, now).value(), "<|im_start|>user a<|im_end|>");
}

TEST(ChatTemplate, IsNullWhereTheFileHasNone) {
  const auto model = LlamaModel::open(stories(), LlamaModel::Load::kWithoutWeights, "a").value();
  EXPECT_EQ(ChatTemplate::of(*model->handle()).value(), nullptr);
  EXPECT_TRUE(model->info().chat_template.empty());
}

}  // namespace
}  // namespace choir
