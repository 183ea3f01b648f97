#include "serve/model_defaults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "serve/fields.h"
#include "serve/key_reload.h"
#include "tests/temp_folder.h"

namespace choir::serve {
namespace {

using testing::HasSubstr;

// ---- defaults of a model ------------------------------------------------------------------------

Asked asked_for(const std::string& more) {
  return read_fields(kChat, Json::parse(R"({"messages": [{"role": "user", "content": "a"}])" +
                                        (more.empty() ? "" : "," + more) + "}"))
      .value();
}

const RequestDefaults kDefaults = {.max_tokens = 9,
                                   .system = "be brief",
                                   .sampling = {{"temperature", 0}, {"top_k", 3}},
                                   .keep_alive = std::chrono::seconds(5)};

TEST(FillIn, SetsWhatIsLeftOut) {
  Asked asked = asked_for("");
  fill_in(kDefaults, {}, asked);
  fill_in(kDefaults, {}, asked);
  EXPECT_EQ(asked.request.sampling.temperature, 0);
  EXPECT_EQ(asked.request.sampling.top_k, 3);
  EXPECT_EQ(asked.request.messages, (std::vector<Message>{{"system", "be brief"}, {"user", "a"}}));
  EXPECT_EQ(asked.max_tokens_otherwise, 9);
  EXPECT_EQ(asked.keep_alive, std::chrono::seconds(5));
  EXPECT_FALSE(asked.request.priority);
}

TEST(FillIn, LeavesWhatWasGiven) {
  Asked asked = asked_for(R"("temperature": 1.5, "keep_alive": 7, "max_completion_tokens": -1)");
  asked.request.messages.push_back({"system", "be long"});
  fill_in(kDefaults, {}, asked);
  EXPECT_EQ(asked.request.sampling.temperature, 1.5F);
  EXPECT_EQ(asked.request.sampling.top_k, 3);
  EXPECT_EQ(asked.request.messages.size(), 2U);
  EXPECT_EQ(asked.max_tokens_otherwise, std::numeric_limits<std::int32_t>::max());
  EXPECT_EQ(asked.keep_alive, std::chrono::seconds(7));
}

TEST(FillIn, SetsFieldsThatAreNullAsLeftOut) {
  Asked asked = asked_for(R"("temperature": null, "max_tokens": null)");
  fill_in(kDefaults, {}, asked);
  EXPECT_EQ(asked.request.sampling.temperature, 0);
  EXPECT_EQ(asked.max_tokens_otherwise, 9);
}

TEST(FillIn, KeepsTheClassOfTheModelBelowThatOfTheClient) {
  const auto classes = [](Priority model, Priority best) {
    Asked asked = asked_for("");
    fill_in({.priority = model}, {.best = best}, asked);
    return asked.request.priority;
  };
  EXPECT_EQ(classes(Priority::kHigh, Priority::kNormal), Priority::kNormal);
  EXPECT_EQ(classes(Priority::kHigh, Priority::kCritical), std::nullopt);
  EXPECT_EQ(classes(Priority::kLow, Priority::kNormal), std::nullopt);
}

// ---- keys that are read again -------------------------------------------------------------------

Key key(const std::string& name, char sum) {
  return {.client = {.key = name, .tenant = name}, .sha256 = std::string(64, sum)};
}

TEST(RemovedKeys, AreThoseThatAreGoneOrOthersNow) {
  const Keys before({key("a", '1'), key("b", '2'), key("c", '3')});
  EXPECT_EQ(removed_keys(before, Keys({key("a", '1'), key("b", '4'), key("d", '5')})),
            (std::vector<std::string>{"b", "c"}));
}

TEST(KeysAgain, AreRefusedWhereTheDaemonWouldBeOpen) {
  const TempFolder folder;
  const std::string file = folder / "keys.json";
  const Keys before({key("a", '1')});
  EXPECT_FALSE(keys_again(file, before, false));
  ASSERT_TRUE(add_key(file, {.key = "b", .tenant = "b"}));
  EXPECT_EQ(keys_again(file, before, true)->all().front().client.key, "b");
  ASSERT_TRUE(remove_key(file, "b"));
  EXPECT_THAT(keys_again(file, before, true).error().message, HasSubstr("has no keys"));
  EXPECT_TRUE(keys_again(file, before, false)->empty());
}

}  // namespace
}  // namespace choir::serve
