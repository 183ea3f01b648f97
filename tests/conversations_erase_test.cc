// What is left of a conversation that is erased in any moment, and of a folder whose users end.
#include <latch>
#include <thread>

#include "tests/talks.h"

namespace choir {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// ---- erased

TEST_F(Talks, AnEraseBesideTheEndOfTheExecutorIsAnswered) {
  for (int round = 0; round < 50; ++round) {
    ASSERT_TRUE(talks_->attach("a", ""));
    for (int i = 0; i < 100; ++i) create(std::to_string(i));
    std::latch both(2);
    std::thread eraser([&] {
      both.arrive_and_wait();
      for (int i = 0; i < 100; ++i) {
        const Status erased = talks_->erase("a", std::to_string(i));
        EXPECT_TRUE(erased || erased.error().code == Code::kNotFound);
      }
    });
    both.arrive_and_wait();
    talks_->detach("a");
    eraser.join();
  }
}

TEST_F(Talks, TheTurnOfAnErasedOneLeavesTheNewOneOfItsIdAlone) {
  attach();
  create("c");
  disk().hold("conversations.db");
  auto turn = begin_turn("c", "Old");
  ASSERT_TRUE(turn);
  disk().wait_until_held();  // its end is being written
  std::latch began(1);
  std::thread other([&] {
    began.count_down();
    EXPECT_TRUE(talks_->erase("a", "c"));
    ConversationRecord fresh = record("a", "c");
    fresh.history = {{"user", "New"}};
    EXPECT_TRUE(talks_->create(fresh));
  });
  began.wait();
  disk().open();
  EXPECT_EQ(turn->result.get().finish, Finish::kLength);
  other.join();
  EXPECT_THAT(texts("c"), ElementsAre("New"));
  end();
  begin({});
  attach();
  EXPECT_THAT(texts("c"), ElementsAre("New")) << "in the store too";
}

TEST_F(Talks, ATurnThatEndsAfterTheEraseLeavesNoTrace) {
  attach();
  create("c");
  ASSERT_TRUE(node_->suspend("a"));
  auto turn = begin_turn("c", "Old");
  auto waits = begin_turn("c", "Never");
  ASSERT_TRUE(talks_->erase("a", "c"));
  create("c");
  ASSERT_TRUE(node_->resume("a"));
  EXPECT_EQ(turn->result.get().finish, Finish::kLength) << "it is answered all the same";
  EXPECT_EQ(waits->result.get().error->code, Code::kCancelled);
  EXPECT_THAT(texts("c"), IsEmpty());
  EXPECT_EQ(kept(*node_), 0) << "its KV state has gone too";
  EXPECT_EQ(talks_->write_behind(std::chrono::milliseconds(0)), 0);
  EXPECT_EQ(snapshots(), 0U);
}

TEST_F(Talks, ASnapshotThatIsBeingWrittenGoesWithItsConversation) {
  attach();
  say(create("c"), "Once");
  disk().hold(".kv.tmp.");
  std::thread writer([&] { talks_->write_behind(std::chrono::milliseconds(0)); });
  disk().wait_until_held();
  std::latch began(1);
  std::thread eraser([&] {
    began.count_down();
    EXPECT_TRUE(talks_->erase("a", "c"));
  });
  began.wait();
  disk().open();
  writer.join();
  eraser.join();
  EXPECT_EQ(snapshots(), 0U);
}

TEST_F(Talks, OneThatIsErasedInAMoveLeavesNoKvState) {
  attach();
  say(create("c"), "Once");
  say(create("d"), "Once");
  EXPECT_EQ(kept(*node_), 2);
  const auto other = start();
  talks_->serve(*other);
  ASSERT_TRUE(node_->migrate("a", *other, [&] {
    EXPECT_TRUE(talks_->erase("a", "c"));
    talks_->moved("a", *other);
  }));
  EXPECT_EQ(kept(*other), 1);
}

TEST_F(Talks, EraseTwiceAtOnceIsOneErase) {
  attach();
  create("c");
  disk().hold("conversations.db");
  std::thread first([&] { EXPECT_TRUE(talks_->erase("a", "c")); });
  disk().wait_until_held();
  EXPECT_FALSE(talks_->erase("a", "c"));
  EXPECT_FALSE(begin_turn("c", "Once"));
  disk().open();
  first.join();
}

// ---- folders

TEST_F(Talks, OneFolderIsOneStoreHoweverItIsWritten) {
  attach();
  create("c");
  std::filesystem::create_directory_symlink(folder_ / "store", folder_ / "link");
  int n = 0;
  for (const char* name : {"./store", "store/", "store/../store", "link", "link/."}) {
    const std::string executor = "e" + std::to_string(n++);
    const Status attached = talks_->attach(executor, folder_.path() + "/" + name);
    EXPECT_TRUE(attached) << name << ": " << attached.error().message;
    EXPECT_TRUE(talks_->create(record(executor, "c")));
  }
  talks_->detach("a");
  EXPECT_FALSE(ConversationStore::open(folder_ / "store")) << "the others use it";
  for (int i = 0; i < n; ++i) talks_->detach("e" + std::to_string(i));
  EXPECT_TRUE(ConversationStore::open(folder_ / "store"));
}

TEST_F(Talks, TheFolderIsFreeWhenItsLastUserHasEnded) {
  for (int round = 0; round < 20; ++round) {
    attach();
    std::vector<Submission> turns;
    for (const char* id : {"c", "d"}) {
      if (round == 0) create(id);
      turns.push_back(*begin_turn(id, "Once"));
    }
    for (Submission& turn : turns) turn.result.get();
    talks_->detach("a");
    talks_->detach("a");
    ASSERT_TRUE(ConversationStore::open(folder_ / "store")) << round;
  }
}

TEST_F(Talks, WhoIsLateForAnEndedExecutorIsRefused) {
  attach();
  create("c");
  disk().hold("conversations.db");
  std::thread writer([&] { create("d"); });
  disk().wait_until_held();
  std::latch began(1);
  std::thread eraser([&] {
    began.count_down();
    const Status erased = talks_->erase("a", "c");
    EXPECT_TRUE(erased || erased.error().code != Code::kInvalidArgument);
  });
  std::thread ender([&] { talks_->detach("a"); });
  began.wait();
  disk().open();
  for (std::thread* thread : {&writer, &eraser, &ender}) thread->join();
  EXPECT_EQ(talks_->create(record("a", "e")).error().code, Code::kNotFound);
  EXPECT_TRUE(ConversationStore::open(folder_ / "store"));
}

TEST_F(Talks, TwoAtOnceOpenItOnce) {
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&, i] {
        const std::string name = "e" + std::to_string(i);
        EXPECT_TRUE(talks_->attach(name, folder_ / "store"));
        talks_->detach(name);
      });
    for (std::thread& thread : threads) thread.join();
  }
}

TEST_F(Talks, KvStateStaysWithinTheLimitOfTheFolder) {
  ASSERT_TRUE(talks_->attach("a", folder_ / "store", 1000));
  for (const char* id : {"1", "2", "3"}) say(create(id), "Once upon a time");
  EXPECT_EQ(talks_->write_behind(std::chrono::milliseconds(0)), 3);
  EXPECT_GT(snapshots(), 0U);
  std::uintmax_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder_ / "store/kv"))
    bytes += file.file_size();
  EXPECT_LE(bytes, 1000U);
}

}  // namespace
}  // namespace choir
