// The node's threads over a fake engine: requests, callbacks, cancel, shutdown, limits.
#include "runtime/runtime.h"

#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <thread>

#include "sim/fake_engine.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

TEST(Runtime, ManyRequestsOnSeveralExecutorsAllEnd) {
  const auto runtime = start();
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(runtime->add(executor(name)));
  std::vector<std::future<Completion>> futures;
  for (int i = 0; i < 90; ++i) {
    auto submission =
        runtime->submit(request(std::string(1, static_cast<char>('a' + i % 3)), "hello"), {});
    ASSERT_TRUE(submission) << submission.error().message;
    futures.push_back(std::move(submission->result));
  }
  for (auto& future : futures) {
    const Completion c = future.get();
    EXPECT_EQ(c.finish, Finish::kLength);
    EXPECT_EQ(c.tokens.size(), 16U);
  }
  EXPECT_EQ(runtime->info().requests_active, 0);
  for (const ExecutorInfo& info : runtime->executors()) EXPECT_EQ(info.requests_done, 30U);
}

TEST(Runtime, StreamedPiecesAddUpToTheText) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  std::string streamed;
  std::int32_t last_count = 0;
  auto submission =
      runtime->submit(request("a", "stream", 100), {.on_event =
                                                        [&](const StreamEvent& e) {
                                                          streamed += e.text;
                                                          EXPECT_GE(e.output_tokens, last_count);
                                                          last_count = e.output_tokens;
                                                        },
                                                    .on_done = {}});
  ASSERT_TRUE(submission);
  const Completion c = submission->result.get();
  EXPECT_EQ(streamed, c.text);
  EXPECT_EQ(last_count, 100);
}

TEST(Runtime, TheSameSeedGivesTheSameTokensAloneAndInACrowd) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  Request wanted = request("a", "determinism", 40);
  wanted.sampling.seed = 7;
  const Completion alone = runtime->run(wanted).value();
  std::vector<std::future<Completion>> others;
  for (int i = 0; i < 20; ++i)
    others.push_back(
        runtime->submit(request("a", "noise " + std::to_string(i)), {}).value().result);
  EXPECT_EQ(runtime->run(wanted).value().tokens, alone.tokens);
  for (auto& other : others) other.get();
}

TEST(Runtime, CancelEndsARequestAndTellsSo) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  std::promise<RequestId> first_event;
  std::atomic<bool> told{false};
  auto submission =
      runtime->submit(request("a", "long", 400), {.on_event =
                                                      [&](const StreamEvent& e) {
                                                        if (!told.exchange(true)) {
                                                          EXPECT_TRUE(runtime->cancel(e.id));
                                                        }
                                                      },
                                                  .on_done = {}});
  ASSERT_TRUE(submission);
  const Completion c = submission->result.get();
  // The fake is quick: it may have ended before the callback could say so.
  if (c.finish != Finish::kLength) {
    EXPECT_EQ(c.finish, Finish::kCancelled);
    EXPECT_EQ(c.error->code, Code::kCancelled);
  }
  EXPECT_EQ(runtime->cancel(submission->id).error().code, Code::kNotFound);
}

TEST(Runtime, BlockingCallsInsideACallbackAreRefused) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  std::vector<std::string> messages;
  auto submission =
      runtime->submit(request("a", "x"),
                      {.on_event = {}, .on_done = [&](const Completion&) {
                         messages.push_back(runtime->run(request("a", "y")).error().message);
                         messages.push_back(runtime->wait_idle().error().message);
                         messages.push_back(runtime->remove("a", Drain::kFinish).error().message);
                         messages.push_back(runtime->add(executor("b")).error().message);
                       }});
  submission->result.get();
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[0],
            "run() would wait for itself inside a callback; use submit() with on_done");
}

TEST(Runtime, ACallbackMaySubmitAndItsThrowsHarmNobody) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  std::promise<Completion> second;
  auto submission = runtime->submit(request("a", "x"),
                                    {.on_event = {}, .on_done = [&](const Completion&) {
                                       (void)runtime->submit(
                                           request("a", "y"),
                                           {.on_event = {}, .on_done = [&](const Completion& c) {
                                              second.set_value(c);
                                              throw std::runtime_error("user code");
                                            }});
                                     }});
  submission->result.get();
  EXPECT_EQ(second.get_future().get().finish, Finish::kLength);
  ASSERT_TRUE(runtime->wait_idle());
}

TEST(Runtime, NothingIsLoadedInsideACallback) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  ASSERT_TRUE(runtime->add(executor("b")));
  ASSERT_TRUE(runtime->unload("b"));
  Error refused;
  auto submission = runtime->submit(request("a", "x"),
                                    {.on_event = {}, .on_done = [&](const Completion&) {
                                       refused = runtime->submit(request("b", "y"), {}).error();
                                     }});
  submission->result.get();
  EXPECT_EQ(refused.code, Code::kInvalidArgument);
  EXPECT_EQ(refused.message,
            "executor 'b' is not in memory, and loading it inside a callback would hold up all "
            "others; load() it or submit() on another thread, or keep it with `pinned`");
  EXPECT_FALSE(runtime->in_memory("b"));
  EXPECT_TRUE(runtime->run(request("b", "y"))) << "elsewhere it comes back";
}

TEST(Runtime, AFullQueueIsAnAnswer) {
  NodeConfig config;
  config.queue_max = 4;
  const auto runtime = start(config);
  ASSERT_TRUE(runtime->add(executor("a")));
  // Requests count as active until their end was told, and the only dispatchers wait here.
  std::latch hold(1);
  const auto wait = [&](const Completion&) { hold.wait(); };
  std::vector<std::future<Completion>> futures;
  for (int i = 0; i < 4; ++i)
    futures.push_back(
        runtime->submit(request("a", "x"), {.on_event = {}, .on_done = wait}).value().result);
  const auto refused = runtime->submit(request("a", "x"), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  EXPECT_EQ(refused.error().message,
            "'a' has 4 requests, at most 4 may wait or run; try again later");
  hold.count_down();
  for (auto& future : futures) future.get();
}

TEST(Runtime, ShutdownFinishesOrCancelsWhatRuns) {
  for (const Drain drain : {Drain::kFinish, Drain::kCancel}) {
    const auto runtime = start();
    ASSERT_TRUE(runtime->add(executor("a")));
    std::vector<std::future<Completion>> futures;
    for (int i = 0; i < 30; ++i)
      futures.push_back(runtime->submit(request("a", "work", 100), {}).value().result);
    runtime->shutdown(drain);
    for (auto& future : futures) {
      const Completion c = future.get();
      if (drain == Drain::kFinish) {
        EXPECT_EQ(c.finish, Finish::kLength);
      }
    }
    const auto refused = runtime->submit(request("a", "late"), {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "the node is shutting down");
    runtime->shutdown(drain);
  }
}

TEST(Runtime, ShutdownFromACallbackOnlyBeginsIt) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  auto submission = runtime->submit(
      request("a", "x"),
      {.on_event = {}, .on_done = [&](const Completion&) { runtime->shutdown(Drain::kCancel); }});
  submission->result.get();
  runtime->shutdown(Drain::kFinish);
}

TEST(Runtime, AnExecutorComesAndGoesWhileOthersWork) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  std::vector<std::future<Completion>> futures;
  for (int i = 0; i < 20; ++i)
    futures.push_back(runtime->submit(request("a", "steady", 100), {}).value().result);
  const std::uint64_t before = runtime->info().memory_bytes_promised;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(runtime->add(executor("b")));
    EXPECT_EQ(runtime->add(executor("b")).error().code, Code::kAlreadyExists);
    (void)runtime->submit(request("b", "brief", 100), {});
    ASSERT_TRUE(runtime->remove("b", i % 2 == 0 ? Drain::kCancel : Drain::kFinish));
    EXPECT_EQ(runtime->find("b").error().code, Code::kNotFound);
  }
  EXPECT_EQ(runtime->info().memory_bytes_promised, before);
  for (auto& future : futures) EXPECT_EQ(future.get().finish, Finish::kLength);
}

TEST(Runtime, AModelThatDoesNotFitIsRefusedWithTheNumbers) {
  NodeConfig config;
  config.memory_bytes_max = 4000;
  const auto runtime = start(config);
  const Status added = runtime->add(executor("a"));  // 512 cells x 8 bytes + 1110
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, Code::kOutOfMemory);
  EXPECT_NE(added.error().message.find("5.2 kB"), std::string::npos) << added.error().message;
}

TEST(Runtime, NoMoreLanesThanAllowedWhoeverIsBusy) {
  NodeConfig config;
  config.lanes_max = 1;
  const auto runtime = start(config);
  EXPECT_EQ(runtime->info().lanes_max, 1);
  std::vector<std::future<Completion>> futures;
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(runtime->add(executor(name)));
    for (int i = 0; i < 8; ++i)
      futures.push_back(runtime->submit(request(name, "x", 50), {}).value().result);
  }
  for (auto& future : futures) EXPECT_EQ(future.get().finish, Finish::kLength);
  EXPECT_EQ(runtime->info().lanes, std::vector<std::int32_t>{2});
  EXPECT_EQ(runtime->info().lane_switches, 0U);
}

TEST(Runtime, AsManyLanesAsCoresWhereNothingIsSaid) {
  EXPECT_EQ(start()->info().lanes_max, 2);
  NodeConfig more;
  more.lanes_max = 9;
  EXPECT_EQ(start(more)->info().lanes_max, 2);
}

struct BadNode {
  std::string name;
  std::int32_t cores;
  std::int32_t lanes_max;
  std::string message;
};
void PrintTo(const BadNode& b, std::ostream* out) { *out << b.name; }

class BadNodes : public testing::TestWithParam<BadNode> {};

TEST_P(BadNodes, AreRefusedWithTheReason) {
  NodeConfig config;
  config.cores = GetParam().cores;
  config.lanes_max = GetParam().lanes_max;
  const Status valid = validate(config);
  ASSERT_FALSE(valid);
  EXPECT_EQ(valid.error().message, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    , BadNodes,
    testing::Values(BadNode{"NegativeLanes", 0, -1, "lanes_max is -1, allowed 0 .. 4096"},
                    BadNode{"TooManyLanes", 0, 4097, "lanes_max is 4097, allowed 0 .. 4096"},
                    BadNode{"MoreLanesThanCores", 2, 3,
                            "lanes_max is 3, allowed 0 .. 2, the cores: a lane has one at least"}),
    [](const auto& b) { return b.param.name; });

TEST(Runtime, AFailingEngineFailsRequestsAndNothingElse) {
  sim::FakeRules failing;
  failing.fail_every = 5;
  const auto runtime = start({}, failing);
  ASSERT_TRUE(runtime->add(executor("a")));
  int failed = 0;
  for (int i = 0; i < 20; ++i) {
    const Completion c = runtime->run(request("a", "x", 3)).value();
    if (c.finish == Finish::kFailed) {
      ++failed;
      EXPECT_EQ(c.error->message, "the fake engine was told to fail");
    }
  }
  EXPECT_GT(failed, 0);
  EXPECT_LT(failed, 20);
}

struct BadRequest {
  std::string name;
  Request request;
  std::string message;
};
void PrintTo(const BadRequest& b, std::ostream* out) { *out << b.name; }

class BadRequests : public testing::TestWithParam<BadRequest> {};

TEST_P(BadRequests, AreRefusedWithTheReason) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("alpha")));
  const auto refused = runtime->submit(GetParam().request, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, GetParam().message);
  EXPECT_EQ(runtime->info().requests_active, 0);
}

Request with_tokens(std::vector<TokenId> tokens) {
  Request r;
  r.tokens = std::move(tokens);
  return r;
}

const BadRequest kBadRequests[] = {
    {"UnknownExecutor", request("alpah", "x"),
     "no executor is named 'alpah'; the nearest is 'alpha'"},
    {"PromptLongerThanTheContext", request("", std::string(600, 'x')),
     "prompt has 600 tokens, 'alpha' takes 511; shorten it or give the executor more "
     "context_tokens"},
    {"TokenOutsideTheVocabulary", with_tokens({5, 97}),
     "token 97 is not in the vocabulary of 'alpha', which has 0 to 96"},
};
INSTANTIATE_TEST_SUITE_P(, BadRequests, testing::ValuesIn(kBadRequests),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir
