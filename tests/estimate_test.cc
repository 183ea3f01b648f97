// Node::estimate() and check_load(): what a load would take, who would leave, and what is wrong,
// told beforehand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fake_node.h"

namespace choir {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::uint64_t total(const MemoryUse& use) { return use.weights + use.kv + use.compute; }

// A node into which one such executor fits, and a bit of another.
std::shared_ptr<Runtime> small_node() {
  const auto probe = start();
  NodeConfig config;
  config.memory_bytes_max = total(probe->estimate(executor("a"))->need) * 3 / 2;
  return start(config);
}

TEST(Estimate, IsWhatTheLoadTakesAndChangesNothing) {
  const auto node = start();
  const LoadEstimate told = *node->estimate(executor("a"));
  EXPECT_TRUE(told.fits);
  EXPECT_EQ(told.refusal, "");
  EXPECT_EQ(told.missing, 0U);
  EXPECT_THAT(told.leave, IsEmpty());
  EXPECT_THAT(node->executors(), IsEmpty());
  EXPECT_EQ(node->info().memory_bytes_promised, 0U);
  ASSERT_TRUE(node->add(executor("a")));
  EXPECT_EQ(node->executor("a")->memory, told.need);
  EXPECT_EQ(node->info().memory_bytes_promised, total(told.need));
}

TEST(Estimate, NamesThoseThatWouldLeave) {
  const auto node = small_node();
  ASSERT_TRUE(node->add(executor("a")));
  const LoadEstimate told = *node->estimate(executor("b"));
  EXPECT_TRUE(told.fits);
  EXPECT_THAT(told.leave, ElementsAre("a"));
  EXPECT_EQ(told.missing, total(told.need) - (told.limit - told.promised));
  EXPECT_TRUE(node->executor("a")->loaded);
  ASSERT_TRUE(node->add(executor("b")));
  EXPECT_FALSE(node->executor("a")->loaded);
}

TEST(Estimate, SaysThatNobodyWouldLeaveWhereThatIsNotEnough) {
  const auto node = small_node();
  ExecutorConfig pinned = executor("a");
  pinned.pinned = true;
  ASSERT_TRUE(node->add(pinned));
  const LoadEstimate told = *node->estimate(executor("b"));
  EXPECT_FALSE(told.fits);
  EXPECT_THAT(told.leave, IsEmpty());
  const Status refused = node->add(executor("b"));
  EXPECT_EQ(refused.error().fact("need_bytes"), static_cast<std::int64_t>(total(told.need)));
  EXPECT_EQ(told.refusal, refused.error().message);
}

TEST(Estimate, OfAResizeThatDoesNotFitHasItsRefusal) {
  const auto node = small_node();
  ASSERT_TRUE(node->add(executor("a")));
  ExecutorConfig larger = executor("a");
  larger.sequences_max *= 2;
  larger.sequence_tokens_max = 128;
  larger.context_tokens *= 2;
  const LoadEstimate told = *node->estimate(larger);
  EXPECT_FALSE(told.fits);
  const Status refused = node->resize("a", larger.sequences_max, 128);
  ASSERT_FALSE(refused);
  EXPECT_THAT(told.refusal, testing::EndsWith(refused.error().message));
  EXPECT_THAT(told.refusal, testing::HasSubstr("beside the old one"));
}

TEST(Estimate, OfOneThatIsInMemoryIsWhatAResizeTakesBesideIt) {
  const auto node = start();
  ASSERT_TRUE(node->add(executor("a")));
  ExecutorConfig larger = executor("a");
  larger.context_tokens *= 2;
  const LoadEstimate told = *node->estimate(larger);
  EXPECT_EQ(told.need.weights, 0U);
  EXPECT_GT(told.need.kv, node->executor("a")->memory.kv);
  EXPECT_THAT(told.leave, IsEmpty());
}

TEST(Estimate, HasTheErrorsOfTheFile) {
  ExecutorConfig missing = executor("a");
  missing.path = "missing";
  EXPECT_EQ(start()->estimate(missing).error().code, Code::kNotFound);
}

TEST(CheckLoad, IsTheErrorThatALoadWouldEndWith) {
  const auto node = small_node();
  ExecutorConfig pinned = executor("a");
  pinned.pinned = true;
  ASSERT_TRUE(node->add(pinned));
  ExecutorConfig missing = executor("missing");
  missing.path = "missing";
  ASSERT_TRUE(node->declare(executor("b")));
  ASSERT_TRUE(node->declare(missing));
  for (const char* const name : {"b", "missing", "none"}) {
    const Status told = node->check_load(name);
    const Status refused = node->load(name);
    ASSERT_FALSE(told) << name;
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(told.error(), refused.error());
  }
  EXPECT_EQ(node->check_load("b").error().code, Code::kOutOfMemory);
}

TEST(CheckLoad, FindsNothingWrongWhereOthersWouldLeave) {
  const auto node = small_node();
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->declare(executor("b")));
  EXPECT_TRUE(node->check_load("a"));
  EXPECT_TRUE(node->check_load("b"));
  EXPECT_TRUE(node->executor("a")->loaded);
}

}  // namespace
}  // namespace choir
