// Executors that go from node to node, over a fake engine: their requests are reached through any
// node, whichever of those between have ended.
#include <gtest/gtest.h>

#include "runtime/runtime.h"
#include "sim/fake_engine.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

// Requests came to `first`, are in `last`, and the node between them has ended. Their executor
// stands still.
struct Moved {
  std::shared_ptr<Runtime> first = start();
  std::shared_ptr<Runtime> last = start();
  std::vector<Submission> submissions;

  // `late`: whether their prompts come later.
  Moved(int requests, Gated gated, bool late = false) {
    auto between = start();
    EXPECT_TRUE(first->add(executor("a")));
    EXPECT_TRUE(first->suspend("a"));
    for (int i = 0; i < requests; ++i)
      submissions.push_back(late ? *first->enqueue(*first->prepare(request("a", "hello", 100),
                                                                   Runtime::Prompt::kLater),
                                                   {}, {}, {.open = {}, .awaited = true})
                                 : *first->submit(request("a", "hello", 100), {}, {}, gated));
    EXPECT_TRUE(first->migrate("a", *between));
    EXPECT_TRUE(between->migrate("a", *last));
  }
};

TEST(RuntimeMoves, ACancelReachesItPastANodeThatHasEnded) {
  Moved moved(3, Gated::kNo);
  const auto bystander = start();
  ASSERT_TRUE(moved.first->cancel(moved.submissions[0].id)) << "where it came to";
  ASSERT_TRUE(moved.last->cancel(moved.submissions[1].id)) << "where it is";
  ASSERT_TRUE(bystander->cancel(moved.submissions[2].id)) << "where it never was";
  for (auto& submission : moved.submissions)
    EXPECT_EQ(submission.result.get().finish, Finish::kCancelled);
}

TEST(RuntimeMoves, ACancelReachesItWhereTheFirstNodeHasEnded) {
  Moved moved(1, Gated::kNo);
  moved.first.reset();
  ASSERT_TRUE(moved.last->cancel(moved.submissions[0].id));
  EXPECT_EQ(moved.submissions[0].result.get().finish, Finish::kCancelled);
}

TEST(RuntimeMoves, TokensReachItPastANodeThatHasEnded) {
  Moved moved(1, Gated::kNo, true);
  moved.first->open(moved.submissions[0].id, [](const Executor&) -> Result<Opening> {
    return Opening{.tokens = {1, 2, 3}, .kv = {}};
  });
  ASSERT_TRUE(moved.last->resume("a"));
  EXPECT_EQ(moved.submissions[0].result.get().usage.prompt_tokens, 3);
}

TEST(RuntimeMoves, ARefusalReachesItPastANodeThatHasEnded) {
  Moved moved(1, Gated::kNo, true);
  moved.first->refuse(moved.submissions[0].id, {Code::kCancelled, "it is not wanted any more"});
  const Completion end = moved.submissions[0].result.get();
  EXPECT_EQ(end.finish, Finish::kFailed);
  EXPECT_EQ(end.error->message, "it is not wanted any more");
}

TEST(RuntimeMoves, AGateOpensPastANodeThatHasEnded) {
  Moved moved(3, Gated::kYes);
  ASSERT_TRUE(moved.last->resume("a"));
  EXPECT_EQ(moved.last->executor("a")->steps, 0U);
  std::vector<RequestId> ids;
  for (const auto& submission : moved.submissions) ids.push_back(submission.id);
  moved.first->open_gate(ids);
  for (auto& submission : moved.submissions)
    EXPECT_EQ(submission.result.get().finish, Finish::kLength);
  EXPECT_EQ(moved.last->executor("a")->steps, 100U) << "all in the same passes";
}

TEST(RuntimeMoves, OneGateOpensRequestsInSeveralNodes) {
  const auto here = start();
  const auto there = start();
  std::vector<Submission> submissions;
  std::vector<RequestId> ids;
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(here->add(executor(name)));
    for (int i = 0; i < 2; ++i) {
      submissions.push_back(*here->submit(request(name, "hello", 10), {}, {}, Gated::kYes));
      ids.push_back(submissions.back().id);
    }
  }
  ASSERT_TRUE(here->migrate("a", *there));
  ASSERT_TRUE(here->cancel(ids[0]));
  EXPECT_EQ(submissions[0].result.get().finish, Finish::kCancelled);
  here->open_gate(ids);
  for (std::size_t i = 1; i < ids.size(); ++i)
    EXPECT_EQ(submissions[i].result.get().finish, Finish::kLength);
}

}  // namespace
}  // namespace choir
