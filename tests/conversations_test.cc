// Conversations on the fake engine: what is stored when and by which thread, histories in memory,
// and what an end in the middle leaves.
#include "context/conversations.h"

#include <map>
#include <thread>

#include "tests/talks.h"

namespace choir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// ---- what is stored, when and by whom

TEST_F(Talks, ATurnIsInTheStoreBeforeItIsTold) {
  attach();
  create("c");
  std::vector<std::string> rows;
  auto submission = begin_turn("c", "Once", {.on_event = {}, .on_done = [&](const Completion&) {
                                               rows = sql(database(), "SELECT name FROM history");
                                             }});
  ASSERT_TRUE(submission);
  submission->result.get();
  EXPECT_THAT(rows, ElementsAre("user|", "assistant|"));
}

TEST_F(Talks, NoDispatcherWaitsForTheDisk) {
  attach();
  create("c");
  disk().on_dispatchers = 0;
  std::vector<Submission> turns;
  for (const char* text : {"One", "Two", "Three"}) turns.push_back(*begin_turn("c", text));
  for (Submission& turn : turns) EXPECT_EQ(turn.result.get().finish, Finish::kLength);
  EXPECT_THAT(texts("c"), SizeIs(6));
  EXPECT_EQ(disk().on_dispatchers, 0);
}

TEST_F(Talks, ACommitKeepsNobodyWaitingButThoseOfItsStore) {
  attach();
  create("c");
  ASSERT_TRUE(node_->add(executor("b")));
  ASSERT_TRUE(talks_->attach("b", ""));
  disk().hold("conversations.db");
  std::thread writer([&] { create("d"); });
  disk().wait_until_held();
  EXPECT_TRUE(talks_->create(record("b", "c")));
  EXPECT_TRUE(talks_->say(*node_, "c", {.request = request("b", "Once", 8), .system = {}}, {})
                  ->result.get()
                  .tokens.size());
  EXPECT_THAT(talks_->ids("a"), ElementsAre("c")) << "the one that is coming is not there yet";
  EXPECT_EQ(texts("c").size(), 0U);
  EXPECT_FALSE(talks_->create(record("a", "d"))) << "its id is taken";
  disk().open();
  writer.join();
  EXPECT_THAT(talks_->ids("a"), ElementsAre("c", "d"));
}

TEST_F(Talks, AnAnswerThatCouldNotBeStoredIsToldAndStaysInMemory) {
  begin({.history_bytes_max = 1});
  attach();
  create("two");
  create("c");
  sql(database(), "DROP TABLE history");
  EXPECT_EQ(say("c", "Once").finish, Finish::kLength);
  EXPECT_THAT(texts("c"), SizeIs(2));
  EXPECT_FALSE(talks_->get("a", "two")) << "it was not in memory, and cannot be read";
  EXPECT_THAT(texts("c"), SizeIs(2));
}

TEST_F(Talks, AConversationThatCouldNotBeStoredIsNotThere) {
  attach();
  sql(database(), "DROP TABLE history");
  EXPECT_FALSE(talks_->create(record("a", "c")));
  EXPECT_THAT(talks_->ids("a"), IsEmpty());
  EXPECT_EQ(talks_->create(record("a", "c")).error().code, Code::kUnavailable) << "not: taken";
}

// ---- histories

TEST_F(Talks, AHistoryIsReadWithItsFirstUse) {
  attach();
  for (const char* id : {"c", "d"}) say(create(id), "Once");
  const auto before = texts("c");
  end();
  begin({});
  attach();
  EXPECT_THAT(talks_->ids("a"), ElementsAre("c", "d"));
  EXPECT_EQ(talks_->history_bytes(), 0U);
  EXPECT_EQ(texts("c"), before);
  const auto bytes = talks_->history_bytes();
  EXPECT_GT(bytes, 0U);
  say("d", "Then");
  EXPECT_GT(talks_->history_bytes(), bytes);
  EXPECT_THAT(texts("d"), SizeIs(4));
  talks_->detach("a");
  EXPECT_EQ(talks_->history_bytes(), 0U);
}

TEST_F(Talks, HistoriesWithoutAStoreHaveALimitInBytes) {
  begin({.unstored_bytes_max = 3000});
  ASSERT_TRUE(talks_->attach("a", ""));
  int created = 0;
  Status refused;
  while (refused && created < 100) {
    auto r = record("a", std::to_string(created));
    r.history = {{"user", std::string(60, 't')}, {"assistant", "yes"}};
    refused = talks_->create(r).map([&](const std::string&) { ++created; });
  }
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  EXPECT_THAT(refused.error().message, HasSubstr("delete some"));
  EXPECT_GE(talks_->unstored_bytes(), 3000U);
  EXPECT_LT(talks_->unstored_bytes(), 4000U);
  EXPECT_EQ(talks_->update(talks_->get("a", "0").value()).error().code, Code::kOverloaded);
  while (created > 1) ASSERT_TRUE(talks_->erase("a", std::to_string(--created)));
  EXPECT_LT(talks_->unstored_bytes(), 1000U);
  const std::uint64_t before = talks_->unstored_bytes();
  EXPECT_EQ(say("0", "Once").finish, Finish::kLength);
  EXPECT_GT(talks_->unstored_bytes(), before) << "an answer counts";
  ASSERT_TRUE(talks_->erase("a", "0"));
  EXPECT_EQ(talks_->unstored_bytes(), 0U);
}

TEST_F(Talks, HistoriesBeyondTheLimitAreReadAgain) {
  begin({.history_bytes_max = 4000});
  attach();
  std::map<std::string, std::vector<std::string>> expected;
  const std::string text(60, 't');
  for (int round = 0; round < 3; ++round)
    for (const char* id : {"1", "2", "3", "4", "5", "6", "7", "8"}) {
      auto r = talks_->get("a", id).value_or(record("a", id));
      if (round == 0) {
        ASSERT_TRUE(talks_->create(r));
      }
      r.history.push_back({"user", text + std::to_string(round)});
      r.history.push_back({"assistant", "yes"});
      ASSERT_TRUE(talks_->update(r));
      if (round == 1) {
        EXPECT_EQ(say(id, "Once").finish, Finish::kLength);
      }
      expected[id] = texts(id);
      EXPECT_LE(talks_->history_bytes(), 4000U);
    }
  for (const auto& [id, all] : expected) {
    EXPECT_THAT(all, SizeIs(8));
    EXPECT_EQ(texts(id), all);
  }
}

TEST_F(Talks, ADamagedOneHarmsNoOtherAndCanBeErased) {
  attach();
  create("bad");
  create("good");
  sql(database(), "UPDATE conversations SET tokens_max = 7 WHERE CAST(id AS TEXT) = 'bad'");
  end();
  begin({});
  attach();
  const auto read = talks_->get("a", "bad");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("checksum"));
  EXPECT_FALSE(begin_turn("bad", "Once"));
  EXPECT_EQ(say("good", "Once").finish, Finish::kLength);
  EXPECT_TRUE(talks_->erase("a", "bad"));
  EXPECT_EQ(create("bad"), "bad");
}

TEST_F(Talks, ThereAreOnlySoMany) {
  ASSERT_TRUE(talks_->attach("a", ""));
  for (std::size_t i = 0; i < kConversationsMax; ++i) ASSERT_TRUE(talks_->create(record("a", "")));
  const auto refused = talks_->create(record("a", ""));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  EXPECT_TRUE(talks_->erase("a", "context_7"));
  EXPECT_TRUE(talks_->create(record("a", "")));
}

// ---- ends

TEST_F(Talks, EndWaitsForTheSnapshotThatIsBeingWritten) {
  attach();
  say(create("c"), "Once");
  disk().hold(".kv.tmp.");
  // The node hands KV state over to the conversations as the executor leaves memory.
  std::thread unloads([&] { EXPECT_TRUE(node_->unload("a")); });
  disk().wait_until_held();
  std::thread ends([&] { talks_->detach("a"); });
  disk().open();
  unloads.join();
  ends.join();
  end();
  EXPECT_EQ(snapshots(), 1U);
  EXPECT_TRUE(ConversationStore::open(folder_ / "store"));
}

TEST_F(Talks, EndWhileTurnsRunAndWait) {
  for (const bool stored : {true, false}) {
    ASSERT_TRUE(talks_->attach("a", stored ? folder_ / "store" : ""));
    create("c");
    std::vector<Submission> turns;
    for (int i = 0; i < 5; ++i) turns.push_back(*begin_turn("c", "Once"));
    node_->shutdown(Drain::kCancel);
    for (Submission& turn : turns) {
      const Completion completion = turn.result.get();
      EXPECT_TRUE(completion.finish == Finish::kLength || completion.finish == Finish::kCancelled);
    }
    end();
    begin({});
  }
}

}  // namespace
}  // namespace choir
