#include "serve/inside_fields.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "serve/fields.h"

namespace choir::serve {
namespace {

TEST(InsideFields, AreNamedWhereTheyAreNotKnown) {
  const auto ignored = [](Routes route, const char* body) {
    return read_fields(route, Json::parse(body)).value().ignored;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(ignored(kChat, R"({"x": 1, "stream_options": {"include_obfuscation": true, "a": 1},
      "messages": [{"role": "user", "content": "a", "name": "b", "refusal": null, "c": null},
                   {"role": "user", "content": [{"type": "text", "text": "a", "d": 1}], "e.f": 1},
                   {"role": "user", "content": "a", "e.f": 2}]})"),
            (Names{"x", "messages.1.e.f", "messages.1.content.0.d", "stream_options.a"}));
  EXPECT_EQ(ignored(kLlamaCompletion, R"({"prompt": [{"prompt_string": "a"},
      {"prompt_string": "a", "b": 1}], "stream_options": {"c": 1}})"),
            Names{"prompt.1.b"});
  EXPECT_EQ(
      ignored(kCompletion, R"({"prompt": "a", "metadata": {"b": 1}, "messages": [{"c": 1}]})"),
      Names{"messages"});
}

TEST(InsideFields, AreNamedUpToANumber) {
  Json message = {{"role", "user"}, {"content", "a"}};
  for (int i = 0; i < 1000; ++i) message["x" + std::to_string(i)] = 1;
  EXPECT_EQ(read_fields(kChat, {{"messages", {message}}})->ignored.size(), kInsideMost);
}

TEST(InsideFields, HaveTheirPlaceInAnError) {
  const auto found = unknown_inside(
      kChat, Json::parse(R"({"messages": [{"role": "user", "content": "a", "a/b.c": 1}]})"));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].error.pointer, "/messages/0/a~1b.c");
  EXPECT_EQ(found[0].error.param, "messages.0.a/b.c");
}

}  // namespace
}  // namespace choir::serve
