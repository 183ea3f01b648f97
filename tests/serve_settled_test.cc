// A client that has its whole answer may unload the model: its request is not counted any more.
#include <gtest/gtest.h>

#include <future>
#include <string>

#include "serve/embedding.h"
#include "tests/fake_served.h"

namespace choir::serve {
namespace {

TEST(Vectors, AreToldWhenTheirRequestIsNotCountedAnyMore) {
  FakeServed served;
  ASSERT_TRUE(served.node().load("encoder"));
  std::promise<std::int32_t> counted;
  const auto work = begin_embedding(
      served.services(),
      {.method = "POST", .path = "/v1/embeddings", .body = R"({"model": "encoder", "input": "a"})"},
      [&] { counted.set_value(served.node().executor("encoder")->active); });
  EXPECT_EQ(counted.get_future().get(), 0);
  const Output output = work->advance();
  ASSERT_TRUE(output.head) << output.bytes;
  EXPECT_EQ(output.head->status, 200) << output.bytes;
  EXPECT_TRUE(output.end);
}

TEST(Replies, AreFollowedByAnUnloadThatIsNotRefused) {
  constexpr int kRounds = 100;
  const FakeServed served;
  const auto done = [&](const std::string& path, const std::string& body) {
    const auto reply = served.ask("POST", path, body);
    return reply ? std::to_string(reply->status) : reply.error().message;
  };
  for (int round = 0; round < kRounds; ++round) {
    EXPECT_EQ(done("/v1/completions", R"({"model": "writer", "prompt": "Once", "max_tokens": 2})"),
              "200");
    EXPECT_EQ(done("/choir/v1/models/writer/unload", "{}"), "200");
    EXPECT_EQ(done("/v1/embeddings", R"({"model": "encoder", "input": "a"})"), "200");
    EXPECT_EQ(done("/models/unload", R"({"model": "encoder"})"), "200");
  }
}

}  // namespace
}  // namespace choir::serve
