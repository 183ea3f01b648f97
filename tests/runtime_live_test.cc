// What changes while a node's executors run, over a fake engine: kept KV state, suspend, size,
// residency, gates, replicas, another node. The answers stay those of a sequence alone.
#include <gtest/gtest.h>

#include <future>

#include "runtime/runtime.h"
#include "sim/fake_engine.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

Completion say(Runtime& runtime, const Request& r, ConversationKey key, KvState kv = {}) {
  return runtime.submit(r, {}, {.key = key, .kv = std::move(kv)})->result.get();
}

// A conversation's next request: all of the last one, its answer, and something new.
Request next(const Runtime&, const Request& last, const Completion& answer) {
  Request r = last;
  const sim::FakeModel model;
  r.tokens = *model.tokenize(last.text, Model::Special::kParse);
  r.tokens.insert(r.tokens.end(), answer.tokens.begin(), answer.tokens.end());
  r.tokens.push_back(7);
  r.text.clear();
  return r;
}

constexpr ConversationKey kTalk{1000};

TEST(RuntimeLive, AConversationGoesOnFromItsCells) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  const Request first = request("a", "once upon a time");
  const Completion one = say(*runtime, first, kTalk);
  EXPECT_EQ(one.usage.reused_tokens, 0);
  EXPECT_TRUE(runtime->kept().holds("a", kTalk));
  const Request second = next(*runtime, first, one);
  const Completion alone = *runtime->run(second);
  const Completion two = say(*runtime, second, kTalk);
  EXPECT_EQ(two.usage.reused_tokens, 16 + 15) << "the last token has no cell yet";
  EXPECT_EQ(two.tokens, alone.tokens);
}

TEST(RuntimeLive, OnlyTheCommonBeginningIsReused) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  (void)say(*runtime, request("a", "once upon a time"), kTalk);
  const Completion other = say(*runtime, request("a", "once upon two times"), kTalk);
  EXPECT_EQ(other.usage.reused_tokens, 10);
  EXPECT_EQ(other.tokens, runtime->run(request("a", "once upon two times"))->tokens);
}

TEST(RuntimeLive, KeptStateMakesRoomAndComesBackFromBytes) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a", 2)));  // as many slots as requests below want
  const Request first = request("a", "once upon a time");
  const Completion one = say(*runtime, first, kTalk);
  auto x = runtime->submit(request("a", "x"), {});
  auto y = runtime->submit(request("a", "y"), {});
  (void)x->result.get();
  (void)y->result.get();
  EXPECT_TRUE(runtime->kept().holds("a", kTalk)) << "parked";
  const Completion two = say(*runtime, next(*runtime, first, one), kTalk);
  EXPECT_EQ(two.usage.reused_tokens, 31);
}

TEST(RuntimeLive, UnloadHandsKeptStateOverAndALoadTakesItAgain) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  std::map<ConversationKey, KvState> kept;
  runtime->kept().set_keeper(
      [&](ConversationKey key, KvState state) { kept[key] = std::move(state); });
  const Request first = request("a", "once upon a time");
  const Completion one = say(*runtime, first, kTalk);
  const auto promised = runtime->info().memory_bytes_promised;
  ASSERT_TRUE(runtime->unload("a"));
  EXPECT_FALSE(runtime->executor("a")->loaded);
  EXPECT_EQ(runtime->info().memory_bytes_promised, 0U);
  ASSERT_TRUE(kept.contains(kTalk));
  EXPECT_EQ(kept[kTalk].tokens.size(), 31U);
  const Request second = next(*runtime, first, one);
  const Completion two = say(*runtime, second, kTalk, std::move(kept[kTalk]));
  EXPECT_EQ(two.usage.reused_tokens, 31) << "loaded by the request itself";
  EXPECT_EQ(runtime->info().memory_bytes_promised, promised);
  EXPECT_EQ(two.tokens, runtime->run(second)->tokens);
}

TEST(RuntimeLive, KeptStateOfAnotherKvTypeIsComputedAgain) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("halves")));
  ExecutorConfig blocks = executor("blocks");
  blocks.kv_type = KvType::kQ80;
  ASSERT_TRUE(runtime->add(blocks));
  Request first = request("halves", "once upon a time");
  const Completion one = say(*runtime, first, kTalk);
  const KvState state = runtime->kept().copy("halves", kTalk).value();
  EXPECT_EQ(state.kv_type, KvType::kF16);
  Request second = next(*runtime, first, one);
  second.executor = "blocks";
  const Completion two = say(*runtime, second, {1001}, state);
  EXPECT_EQ(two.usage.reused_tokens, 0);
  EXPECT_EQ(two.tokens, runtime->run(second)->tokens);
  EXPECT_EQ(runtime->kept().copy("blocks", {1001})->kv_type, KvType::kQ80);
}

TEST(RuntimeLive, SuspendedSequencesStandStillAndGoOnTheSame) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  const Completion alone = *runtime->run(request("a", "hello", 200));
  auto running = runtime->submit(request("a", "hello", 200), {});
  ASSERT_TRUE(runtime->suspend("a"));
  const auto steps = runtime->executor("a")->steps;
  auto waiting = runtime->submit(request("a", "hello", 200), {});
  EXPECT_FALSE(runtime->unload("a")) << "it has work";
  EXPECT_EQ(runtime->executor("a")->steps, steps);
  auto hopeless = request("a", "late");
  hopeless.deadline = std::chrono::milliseconds(1);
  EXPECT_EQ(runtime->submit(hopeless, {})->result.get().finish, Finish::kDeadline)
      << "deadlines go on";
  ASSERT_TRUE(runtime->resume("a"));
  EXPECT_EQ(running->result.get().tokens, alone.tokens);
  EXPECT_EQ(waiting->result.get().tokens, alone.tokens);
}

TEST(RuntimeLive, AResizeTakesEverythingAlong) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  const Completion alone = *runtime->run(request("a", "hello", 100));
  const Completion kept = say(*runtime, request("a", "once upon a time"), kTalk);
  ASSERT_TRUE(runtime->suspend("a"));  // so that it is in the middle
  auto running = runtime->submit(request("a", "hello", 100), {});
  ASSERT_TRUE(runtime->resize("a", 8, 300));
  ASSERT_TRUE(runtime->resume("a"));
  EXPECT_EQ(running->result.get().tokens, alone.tokens);
  EXPECT_EQ(runtime->executor("a")->config.context_tokens, 2400);
  EXPECT_EQ(say(*runtime, next(*runtime, request("a", "once upon a time"), kept), kTalk)
                .usage.reused_tokens,
            31);
  auto long_one = runtime->submit(request("a", std::string(200, 'x'), 90), {});
  const auto refused = runtime->resize("a", 2, 100);
  EXPECT_EQ(long_one->result.get().finish, Finish::kLength);
  if (!refused) {  // it was over before
    EXPECT_NE(refused.error().message.find("tokens already"), std::string::npos);
  }
  EXPECT_FALSE(runtime->resize("a", 0, 100));
  EXPECT_FALSE(runtime->resize("nobody", 1, 100));
}

TEST(RuntimeLive, MovesToAnotherNodeWithAllThatRuns) {
  const auto here = start();
  const auto there = start();
  ASSERT_TRUE(here->add(executor("a")));
  const Completion alone = *here->run(request("a", "hello", 100));
  const Completion kept = say(*here, request("a", "once upon a time"), kTalk);
  ASSERT_TRUE(here->suspend("a"));
  auto running = here->submit(request("a", "hello", 100), {});
  auto cancelled = here->submit(request("a", "hello", 100), {});
  ASSERT_TRUE(here->migrate("a", *there));
  EXPECT_FALSE(here->executor("a"));
  EXPECT_EQ(here->info().memory_bytes_promised, 0U);
  EXPECT_EQ(there->info().requests_active, 2);
  ASSERT_TRUE(here->cancel(cancelled->id)) << "through the node it came from";
  EXPECT_EQ(cancelled->result.get().finish, Finish::kCancelled);
  ASSERT_TRUE(there->resume("a"));
  EXPECT_EQ(running->result.get().tokens, alone.tokens);
  EXPECT_EQ(
      say(*there, next(*there, request("a", "once upon a time"), kept), kTalk).usage.reused_tokens,
      31);
}

TEST(RuntimeLive, ATakenNameInTheOtherNodeRefusesTheMove) {
  const auto here = start();
  const auto there = start();
  ASSERT_TRUE(here->add(executor("a")));
  ASSERT_TRUE(there->add(executor("a")));
  EXPECT_EQ(here->migrate("a", *there).error().code, Code::kAlreadyExists);
  EXPECT_TRUE(here->run(request("a", "hello"))) << "nothing is lost";
}

TEST(RuntimeLive, AGateLetsThemBeginInOnePass) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  std::vector<Submission> submissions;
  std::vector<RequestId> ids;
  for (int i = 0; i < 4; ++i) {
    submissions.push_back(*runtime->submit(request("a", "hello", 10), {}, {}, Gated::kYes));
    ids.push_back(submissions.back().id);
  }
  EXPECT_EQ(runtime->executor("a")->steps, 0U);
  runtime->open_gate(ids);
  for (auto& submission : submissions) EXPECT_EQ(submission.result.get().tokens.size(), 10U);
  EXPECT_EQ(runtime->executor("a")->steps, 10U);
}

TEST(RuntimeLive, AnIdleOneLeavesForOneThatDoesNotFitAndNeverOneWithWork) {
  NodeConfig config;
  const auto measured = start();
  ASSERT_TRUE(measured->add(executor("a")));
  config.memory_bytes_max = measured->info().memory_bytes_promised * 5 / 2;  // two and a half
  const auto runtime = start(config);
  ASSERT_TRUE(runtime->add(executor("a")));
  ASSERT_TRUE(runtime->add(executor("b")));
  EXPECT_TRUE(runtime->executor("a")->loaded && runtime->executor("b")->loaded) << "all fits";
  ASSERT_TRUE(runtime->suspend("a"));
  auto waits = runtime->submit(request("a", "hello"), {});
  ASSERT_TRUE(runtime->add(executor("c")));
  EXPECT_TRUE(runtime->executor("a")->loaded) << "it has work";
  EXPECT_FALSE(runtime->executor("b")->loaded);
  ASSERT_TRUE(runtime->resume("a"));
  EXPECT_EQ(waits->result.get().finish, Finish::kLength);
  EXPECT_TRUE(runtime->run(request("b", "hello"))) << "back when wanted, another one leaves";
  int loaded = 0;
  for (const ExecutorInfo& info : runtime->executors()) loaded += info.loaded ? 1 : 0;
  EXPECT_EQ(loaded, 2);
}

TEST(RuntimeLive, QueuedRequestsMoveBetweenReplicas) {
  const auto runtime = start();
  ExecutorConfig a = executor("a");
  ExecutorConfig b = executor("b");
  a.batching = b.batching = Batching::kOneAtATime;
  ASSERT_TRUE(runtime->add(a));
  ASSERT_TRUE(runtime->add(b));
  const Completion alone = *runtime->run(request("a", "hello", 300));
  std::vector<Submission> submissions;
  for (int i = 0; i < 8; ++i)
    submissions.push_back(*runtime->submit(request("a", "hello", 300), {}));
  EXPECT_GE(*runtime->spread_queues({"a", "b"}), 1);
  for (auto& submission : submissions)
    EXPECT_EQ(submission.result.get().tokens, alone.tokens) << "whoever computed it";
  EXPECT_GT(runtime->executor("b")->steps, 0U);
}

TEST(RuntimeLive, UnderSequentialOneRequestRunsInTheWholeNodeBestClassFirst) {
  NodeConfig config;
  config.policy = ExecutionPolicy::kSequential;
  const auto runtime = start(config);
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(runtime->add(executor(name)));
    ASSERT_TRUE(runtime->suspend(name));
  }
  std::vector<std::string> order;
  Guarded<int> lock;
  std::vector<Submission> submissions;
  for (const auto& [name, priority] :
       {std::pair("a", Priority::kLow), std::pair("b", Priority::kNormal),
        std::pair("a", Priority::kCritical)}) {
    Request r = request(name, "hello", 10);
    r.priority = priority;
    const std::string label = std::string(name) + std::string(to_string(priority));
    submissions.push_back(
        *runtime->submit(r, {.on_event = {}, .on_done = [&, label](const Completion&) {
                               lock.with([&](int) {
                                 order.push_back(label);
                                 return 0;
                               });
                             }}));
  }
  ASSERT_TRUE(runtime->resume("a"));
  ASSERT_TRUE(runtime->resume("b"));
  for (auto& submission : submissions) (void)submission.result.get();
  EXPECT_EQ(order, (std::vector<std::string>{"acritical", "bnormal", "alow"}));
  EXPECT_EQ(runtime->executor("a")->steps + runtime->executor("b")->steps, 30U);
  EXPECT_TRUE(runtime->set_policy(ExecutionPolicy::kFair));
  EXPECT_EQ(runtime->policy(), ExecutionPolicy::kFair);
}

TEST(RuntimeLive, UpdateChangesWhatIsLiveAndNamesWhatIsNot) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  ExecutorConfig config = executor("a");
  config.shares = 3;
  config.priority = Priority::kHigh;
  ASSERT_TRUE(runtime->update(config));
  EXPECT_EQ(runtime->executor("a")->config, config);
  config.context_tokens = 256;
  EXPECT_NE(runtime->update(config).error().message.find("context_tokens"), std::string::npos);
  config = runtime->executor("a")->config;
  config.kv_type = KvType::kQ80;
  EXPECT_NE(runtime->update(config).error().message.find("kv_type"), std::string::npos);
  ASSERT_TRUE(runtime->resize("a", 2, 100));
  EXPECT_EQ(runtime->executor("a")->config.kv_type, KvType::kF16);
}

}  // namespace
}  // namespace choir
