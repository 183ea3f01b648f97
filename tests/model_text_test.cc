// choir/model_text.h: prompts and tokens as text.
#include "choir/model_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/model_text.h"
#include "model_templates.h"
#include "real_models.h"

namespace choir {
namespace {

using testing::HasSubstr;

constexpr const char* kTools =
    R"([{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}])";

class ModelText : public testing::Test {
 protected:
  void SetUp() override {
    ExecutorConfig config;
    config.name = "m";
    config.path = stories();
    ASSERT_TRUE(node_->declare(config));
    ASSERT_TRUE(node_->load("m"));
  }
  std::vector<TokenId> tokens(const std::string& text, bool add, bool parse) {
    return tokenize(*node_, "m", text, {.add_special = add, .parse_special = parse}).value();
  }
  const std::unique_ptr<Node> node_ = Node::create({}).value();
};

TEST_F(ModelText, OfMessagesWithoutATemplateIsChatMl) {
  const ChatPrompt prompt{.messages = {{"user", "Hello"}}};
  EXPECT_EQ(chat_prompt(*node_, "m", prompt).value(),
            "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(chat_prompt(*node_, "m", {.messages = prompt.messages, .open_answer = false}).value(),
            "<|im_start|>user\nHello<|im_end|>\n");
  EXPECT_THAT(
      chat_prompt(*node_, "m", {.messages = prompt.messages, .tools_json = kTools}).error().message,
      HasSubstr("no chat template"));
}

TEST_F(ModelText, OfTokensIsWhatWasTokenized) {
  constexpr TokenId kBegin = 1;
  const auto plain = tokens("One </s>", false, false);
  const auto parsed = tokens("One </s>", false, true);
  EXPECT_LT(parsed.size(), plain.size()) << "one token for the mark";
  for (const auto& [bare, parse] : {std::pair(plain, false), std::pair(parsed, true)}) {
    auto marked = bare;
    marked.insert(marked.begin(), kBegin);
    EXPECT_EQ(tokens("One </s>", true, parse), marked);
  }
  const auto pieces = token_texts(*node_, "m", tokens("One </s>", true, true)).value();
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  EXPECT_EQ(text, "<s> One </s>");
  EXPECT_EQ(text_marks(*node_, "m")->begin, "<s>");
  EXPECT_EQ(text_marks(*node_, "m")->end, "</s>");
  EXPECT_EQ(end_tokens(*node_, "m").value(), std::vector<TokenId>{2});
  EXPECT_EQ(token_texts(*node_, "m", {-1}).error().code, Code::kInvalidArgument);
  EXPECT_EQ(token_texts(*node_, "m", {512}).error().code, Code::kInvalidArgument);
}

TEST_F(ModelText, LoadsNoModel) {
  ASSERT_TRUE(node_->unload("m"));
  EXPECT_EQ(chat_prompt(*node_, "m", {.messages = {{"user", "Hello"}}}).error().code,
            Code::kUnavailable);
  EXPECT_EQ(text_marks(*node_, "m").error().code, Code::kUnavailable);
  EXPECT_EQ(text_marks(*node_, "n").error().code, Code::kNotFound);
  EXPECT_FALSE(node_->executor("m")->loaded);
}

TEST(ModelTextTools, AreShownByTheTemplate) {
  const auto model = with_template(
      "{% for t in tools %}[{{ t.function.name }}]{% endfor %}{% for m in messages %}"
      "{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}so: {% endif %}");
  ASSERT_TRUE(model);
  const std::vector<Message> messages = {{"user", "Hello"}};
  EXPECT_EQ(render_with_tools(*model, {.messages = messages, .tools_json = kTools}).value(),
            "[look_up]user: Hello\nso: ");
  EXPECT_EQ(render_with_tools(*model, {.messages = messages, .open_answer = false}).value(),
            "user: Hello\n");
}

TEST(ModelTextTools, ThatAreWrongAreRefused) {
  const auto model = with_template("{% for m in messages %}{{ m.content }}{% endfor %}");
  ASSERT_TRUE(model);
  for (const char* tools : {"{", "[1]", "[{}]", R"([{"type": "web"}])", R"({"type": "function"})",
                            R"([{"type": "function", "function": {"name": 1}}])"})
    EXPECT_EQ(
        render_with_tools(*model, {.messages = {{"user", "a"}}, .tools_json = tools}).error().code,
        Code::kInvalidArgument)
        << tools;
}

}  // namespace
}  // namespace choir
