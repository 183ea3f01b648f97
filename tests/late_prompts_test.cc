// Prompts that are made when the executor of their request is in memory and, where they are
// awaited, the turn before them has ended; in virtual time.
#include <new>
#include <utility>
#include <vector>

#include "tests/arrivals_stage.h"

namespace choir {
namespace {

class LatePrompts : public ArrivalsTest {
 protected:
  // Its prompt is made by `open`; none: it is awaited.
  Submission late(Opener open, const Request& r = request("a", "not a prompt", 3)) {
    const bool awaited = !open;
    return *node->enqueue(*node->prepare(r, Runtime::Prompt::kLater), {}, {},
                          {.open = std::move(open), .awaited = awaited});
  }
  Opener counted(int tokens) {
    return [this, tokens](const Executor&) -> Result<Opening> {
      ++opened;
      return Opening{.tokens = std::vector<TokenId>(static_cast<std::size_t>(tokens), 1), .kv = {}};
    };
  }
  int opened = 0;
};

TEST_F(LatePrompts, AreMadeOnceAfterTheLoad) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission s = late(counted(7));
  EXPECT_EQ(opened, 0);
  work();
  EXPECT_EQ(opened, 1);
  node.finish();
  EXPECT_EQ(s.result.get().usage.prompt_tokens, 7);
}

TEST_F(LatePrompts, AreMadeForAnExecutorInMemoryToo) {
  ASSERT_TRUE(node->add(executor("a")));
  Submission s = late(counted(7));
  EXPECT_EQ(opened, 0) << "not on the caller's thread";
  work();
  node.finish();
  EXPECT_EQ(s.result.get().usage.prompt_tokens, 7);
}

TEST_F(LatePrompts, ThatAreAwaitedKeepNobodyWaiting) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission awaited = late(nullptr);
  EXPECT_EQ(loads->good, 0);
  Submission other = enqueue(request("a", "hello", 3));
  work();
  node.finish();
  EXPECT_TRUE(ready(other));
  EXPECT_FALSE(ready(awaited));
  EXPECT_EQ(node->executor("a")->waiting, 1);
  EXPECT_EQ(node->unload("a").error().code, Code::kOverloaded) << "it has a request";
  node->open(awaited.id, counted(7));
  work();
  node.finish();
  EXPECT_EQ(awaited.result.get().usage.prompt_tokens, 7);
  node->open(awaited.id, counted(7));
  work();
  EXPECT_EQ(opened, 1) << "it has ended";
}

TEST_F(LatePrompts, ThatAreAwaitedLoadTheirExecutorOnceTheyAreOpened) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission awaited = late(nullptr);
  work();
  EXPECT_EQ(loads->good, 0);
  node->open(awaited.id, counted(7));
  work();
  node.finish();
  EXPECT_EQ(loads->good, 1);
  EXPECT_EQ(awaited.result.get().finish, Finish::kLength);
}

TEST_F(LatePrompts, ThatFailOrThrowEndTheirRequestAlone) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission failed = late([](const Executor&) -> Result<Opening> {
    return fail(Code::kInvalidArgument, "on purpose");
  });
  Submission threw = late([](const Executor&) -> Result<Opening> { throw std::bad_alloc(); });
  Submission empty = late(counted(0));
  Submission good = late(counted(7));
  work();
  node.finish();
  EXPECT_EQ(failed.result.get().error->message, "on purpose");
  EXPECT_EQ(threw.result.get().error->code, Code::kOutOfMemory);
  EXPECT_EQ(empty.result.get().error->code, Code::kInvalidArgument);
  EXPECT_EQ(good.result.get().finish, Finish::kLength);
  EXPECT_TRUE(node->unload("a")) << "nothing of them is left";
}

TEST_F(LatePrompts, EndByACancelADeadlineAndARefusal) {
  ASSERT_TRUE(node->add(executor("a")));
  Request hurried = request("a", "later", 3);
  hurried.deadline = std::chrono::milliseconds(70);
  Submission cancelled = late(nullptr);
  Submission expired = late(nullptr, hurried);
  Submission refused = late(nullptr);
  ASSERT_TRUE(node->cancel(cancelled.id));
  node->refuse(refused.id, {Code::kCancelled, "not wanted"});
  node.finish();
  EXPECT_EQ(cancelled.result.get().finish, Finish::kCancelled);
  const Completion late_end = expired.result.get();
  EXPECT_EQ(late_end.finish, Finish::kDeadline);
  EXPECT_NE(late_end.error->message.find("an earlier turn"), std::string::npos);
  const Completion end = refused.result.get();
  EXPECT_EQ(end.finish, Finish::kFailed);
  EXPECT_EQ(end.error->message, "not wanted");
}

TEST_F(LatePrompts, MoveWithTheirExecutorAndKeepTheirDeadline) {
  Driven other;
  ASSERT_TRUE(node->add(executor("a")));
  Request hurried = request("a", "later", 3);
  hurried.deadline = std::chrono::milliseconds(70);
  Submission expires = late(nullptr, hurried);
  Submission opens = late(nullptr);
  ASSERT_TRUE(node.waiting([&] { return node->migrate("a", *other); }));
  other->parts().background.run_here();
  node->open(opens.id, counted(7));
  other->parts().background.run_here();
  other.finish();
  EXPECT_EQ(opens.result.get().usage.prompt_tokens, 7);
  ASSERT_TRUE(ready(expires));
  EXPECT_EQ(expires.result.get().finish, Finish::kDeadline);
}

}  // namespace
}  // namespace choir
