// Replicas of a model over a node: where requests go, and what changes of the model do to all.
#include "serve/replicas.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "serve/replica_changes.h"
#include "tests/fake_served.h"

namespace choir::serve {
namespace {

// Of a prompt of at most 400 tokens.
const PromptSight kSight{.mark = 1, .prompt_bytes = 400, .output_tokens_max = 50};

class Group : public testing::Test {
 protected:
  Replicas& replicas() { return s().models.replicas(); }
  const Services& s() const { return served_.services(); }
  Node& node() { return served_.node(); }
  std::string state(const std::string& name) {
    const auto info = node().executor(name);
    return !info ? "none" : info->loaded ? "loaded" : "away";
  }
  // In memory, or on its way there.
  bool is_wanted(const std::string& name) {
    const auto info = node().executor(name);
    return info && (info->loaded || info->loading);
  }
  void load_two() {
    ASSERT_TRUE(set_replicas(s(), "writer", 2));
    ASSERT_TRUE(node().load("writer"));
    ASSERT_TRUE(node().load("writer@2"));
  }
  std::string ask(const std::string& path, const Json& body) {
    const auto reply = served_.ask("POST", path, to_text(body));
    return reply ? std::to_string(reply->status) + " " + reply->body : reply.error().message;
  }

  FakeServed served_;
};

TEST_F(Group, RequestsOnTheirWayGoToDifferentOnes) {
  load_two();
  const Sent one = replicas().send("writer", kSight);
  const Sent other = replicas().send("writer", kSight);
  EXPECT_EQ(one.executor, "writer");
  EXPECT_EQ(other.executor, "writer@2");
}

TEST_F(Group, AChatGoesOnWhereItsEarlierTurnsWere) {
  load_two();
  Sent other = replicas().send("writer", {.mark = 9, .prompt_bytes = 400});
  Sent turn = replicas().send("writer", kSight);
  ASSERT_EQ(turn.executor, "writer@2");
  replicas().taken(std::move(turn), 100);
  replicas().taken(std::move(other), 100);
  EXPECT_EQ(replicas().send("writer", kSight).executor, "writer@2");
  PromptSight another = kSight;
  another.mark = 2;
  EXPECT_EQ(replicas().send("writer", another).executor, "writer");
}

TEST_F(Group, WhatOneTenantComputedDrawsNoOther) {
  load_two();
  Asked asked;
  asked.request.messages = {{"user", "Hello"}};
  Sent other = replicas().send("writer", {.mark = 9, .prompt_bytes = 400});
  replicas().taken(replicas().send("writer", sight_of(asked, {.tenant = "one"})), 100);
  other.coming.reset();
  const auto goes = [&](const std::string& name) {
    return replicas().send("writer", sight_of(asked, {.tenant = name})).executor;
  };
  EXPECT_EQ(goes("two"), "writer");
  EXPECT_EQ(goes("one"), "writer@2");
}

TEST_F(Group, ANameOfOneGoesThere) {
  load_two();
  EXPECT_EQ(replicas().send("writer@2", kSight).executor, "writer@2");
  EXPECT_EQ(replicas().of("writer@2"), std::vector<std::string>{"writer@2"});
  EXPECT_EQ(replicas().model_of("writer@2"), "writer");
  EXPECT_EQ(replicas().model_of("writer"), std::nullopt);
}

TEST_F(Group, GrowsAndShrinks) {
  ASSERT_TRUE(set_replicas(s(), "writer", 12));
  EXPECT_EQ(replicas().of("writer").size(), 12U);
  EXPECT_EQ(replicas().of("writer").back(), "writer@12");
  EXPECT_EQ(state("writer@12"), "away") << "as its model is";
  ASSERT_TRUE(set_replicas(s(), "writer", 3));
  EXPECT_EQ(replicas().of("writer"), (std::vector<std::string>{"writer", "writer@2", "writer@3"}));
  EXPECT_EQ(state("writer@4"), "none");
  ASSERT_TRUE(remove_all(s(), "writer@2", Requests::kRefuse));
  EXPECT_EQ(replicas().of("writer"), (std::vector<std::string>{"writer", "writer@3"}));
  ASSERT_TRUE(set_replicas(s(), "writer", 3));
  EXPECT_EQ(state("writer@2"), "away") << "the number that is free";
  ASSERT_TRUE(set_replicas(s(), "writer", 1));
  EXPECT_EQ(replicas().of("writer"), std::vector<std::string>{"writer"});
}

TEST_F(Group, NewOnesAreLoadedWhereTheModelIs) {
  ASSERT_TRUE(node().load("writer"));
  ASSERT_TRUE(set_replicas(s(), "writer", 3));
  for (const char* name : {"writer", "writer@2", "writer@3"}) EXPECT_TRUE(is_wanted(name)) << name;
}

TEST_F(Group, ANameThatIsTakenLeavesAllAsItWas) {
  ASSERT_TRUE(node().declare(executor("writer@3")));
  const Status grown = set_replicas(s(), "writer", 3);
  ASSERT_FALSE(grown);
  EXPECT_EQ(grown.error().code, Code::kAlreadyExists);
  EXPECT_EQ(state("writer@2"), "none");
  EXPECT_EQ(replicas().of("writer").size(), 1U);
}

TEST_F(Group, AReplicaHasNoReplicas) {
  ASSERT_TRUE(set_replicas(s(), "writer", 2));
  const Status grown = set_replicas(s(), "writer@2", 2);
  ASSERT_FALSE(grown);
  EXPECT_EQ(grown.error().code, Code::kInvalidArgument);
}

TEST_F(Group, NothingGoesWhileOneOfThoseHasRequests) {
  ASSERT_TRUE(set_replicas(s(), "writer", 3));
  ASSERT_TRUE(node().load("writer@2"));
  ASSERT_TRUE(node().suspend("writer@2"));
  auto waits = node().submit(request("writer@2", "hello"));
  ASSERT_TRUE(waits);
  const Status shrunk = set_replicas(s(), "writer", 1);
  ASSERT_FALSE(shrunk);
  EXPECT_EQ(shrunk.error().code, Code::kOverloaded);
  EXPECT_EQ(replicas().of("writer").size(), 3U);
  EXPECT_EQ(state("writer@3"), "away");
  ASSERT_TRUE(node().resume("writer@2"));
  EXPECT_EQ(waits->result.get().finish, Finish::kLength) << "it is not harmed";
}

TEST_F(Group, NothingGoesWhileARequestIsOnItsWayThere) {
  load_two();
  const Sent first = replicas().send("writer", kSight);
  Sent second = replicas().send("writer", kSight);
  ASSERT_EQ(second.executor, "writer@2");
  EXPECT_FALSE(set_replicas(s(), "writer", 1));
  EXPECT_EQ(replicas().of("writer").size(), 2U);
  second.coming.reset();
  EXPECT_TRUE(set_replicas(s(), "writer", 1));
}

TEST_F(Group, ARequestForAModelThatIsAwayLoadsAll) {
  ASSERT_TRUE(set_replicas(s(), "writer", 2));
  EXPECT_EQ(ask("/v1/completions", {{"model", "writer"}, {"prompt", "Once"}}).substr(0, 3), "200");
  for (const char* name : {"writer", "writer@2"}) EXPECT_TRUE(is_wanted(name)) << name;
}

TEST_F(Group, LoadAndUnloadConcernAll) {
  ASSERT_TRUE(set_replicas(s(), "writer", 3));
  EXPECT_EQ(ask("/choir/v1/models/writer/load", Json::object()).substr(0, 3), "200");
  for (const char* name : {"writer", "writer@2", "writer@3"}) EXPECT_EQ(state(name), "loaded");
  EXPECT_EQ(ask("/choir/v1/models/writer/unload", Json::object()).substr(0, 3), "200");
  for (const char* name : {"writer", "writer@2", "writer@3"}) EXPECT_EQ(state(name), "away");
  EXPECT_EQ(ask("/choir/v1/models/writer@2/load", Json::object()).substr(0, 3), "200");
  EXPECT_EQ(state("writer@2"), "loaded");
  EXPECT_EQ(state("writer"), "away") << "the name of one is that of one";
}

TEST_F(Group, AnUnloadIsRefusedAsAWhole) {
  load_two();
  ASSERT_TRUE(node().suspend("writer@2"));
  auto waits = node().submit(request("writer@2", "hello"));
  ASSERT_TRUE(waits);
  EXPECT_EQ(unload_all(s(), "writer").error().code, Code::kOverloaded);
  EXPECT_EQ(state("writer"), "loaded");
  ASSERT_TRUE(node().resume("writer@2"));
  static_cast<void>(waits->result.get());
}

TEST_F(Group, WithoutOneInMemoryWhatNeedsOneUsesAnother) {
  ASSERT_TRUE(set_replicas(s(), "writer", 2));
  ASSERT_TRUE(node().load("writer@2"));
  EXPECT_EQ(ask("/tokenize", {{"model", "writer"}, {"content", "Once"}}).substr(0, 3), "200");
  EXPECT_EQ(ask("/v1/completions", {{"model", "writer"}, {"prompt", "Once"}}).substr(0, 3), "200");
  EXPECT_EQ(state("writer"), "away");
}

TEST_F(Group, LlamaServersRoutesShowAllOfAModel) {
  ASSERT_TRUE(set_replicas(s(), "writer", 2));
  const auto got = [&](const std::string& path) {
    const auto reply = served_.ask("GET", path);
    return reply && reply->status == 200 ? Json::parse(reply->body) : Json();
  };
  EXPECT_EQ(got("/props?model=writer")["is_sleeping"], true);
  ASSERT_TRUE(node().load("writer@2"));
  const Json props = got("/props?model=writer");
  EXPECT_EQ(props["total_slots"], 8);
  EXPECT_EQ(props["model_alias"], "writer");
  EXPECT_EQ(props["is_sleeping"], false) << "one of them is there";
  EXPECT_EQ(got("/slots?model=writer").size(), 8U);
  EXPECT_EQ(got("/slots?model=writer")[7]["id"], 7);
  EXPECT_EQ(got("/props?model=writer@2")["total_slots"], 4);
  EXPECT_EQ(got("/slots?model=writer@2").size(), 4U);
}

TEST_F(Group, TextsAreEmbeddedByOneThatIsThere) {
  ASSERT_TRUE(set_replicas(s(), "encoder", 2));
  ASSERT_TRUE(node().load("encoder@2"));
  const std::string reply = ask("/v1/embeddings", {{"model", "encoder"}, {"input", "a"}});
  EXPECT_EQ(reply.substr(0, 3), "200") << reply;
  EXPECT_NE(reply.find(R"("model":"encoder")"), std::string::npos) << reply;
  EXPECT_EQ(node().executor("encoder@2")->requests_done, 1U);
}

TEST_F(Group, TheNodeTellsWhatIsLeftToDo) {
  load_two();
  ASSERT_TRUE(node().suspend("writer"));
  EXPECT_EQ(node().executor("writer")->outstanding_seconds, 0);
  auto limited = node().submit(request("writer", "hello", 100));
  const double seconds = node().executor("writer")->outstanding_seconds;
  EXPECT_GT(seconds, 0);
  // What a request may have without a limit is what the context has room for.
  auto open = node().submit(request("writer", "hello", 1 << 30));
  EXPECT_LT(node().executor("writer")->outstanding_seconds, 20 * seconds);
  ASSERT_TRUE(node().resume("writer"));
  static_cast<void>(limited->result.get());
  static_cast<void>(open->result.get());
}

}  // namespace
}  // namespace choir::serve
