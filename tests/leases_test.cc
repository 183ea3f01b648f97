// Leases: which executors tenants hold in memory, and who leaves when nobody does, in virtual time.
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "choir/observer.h"
#include "tests/driven.h"
#include "tests/fake_node.h"
#include "tests/pass_gate.h"

namespace choir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kForEverMs = milliseconds::max();

class Told final : public Observer {
 public:
  void on_load(const LoadDone& load) override { loads.emplace_back(load.executor); }
  void on_left(const ExecutorLeft& one) override {
    left.emplace_back(std::string(one.executor) + (one.why == ExecutorLeft::Why::kUnheld ? " unheld"
                                                   : one.why == ExecutorLeft::Why::kEvicted
                                                       ? " evicted"
                                                       : ""));
  }
  std::vector<std::string> loads;
  std::vector<std::string> left;
};

// Of one executor of fake_node.h.
std::uint64_t bytes_of_one() {
  Driven node;
  EXPECT_TRUE(node->add(executor("a")));
  return node->info().memory_bytes_promised;
}

class LeasesTest : public testing::Test {
 protected:
  static NodeConfig config(const std::shared_ptr<Told>& told) {
    NodeConfig config;
    config.observer = told;
    return config;
  }
  void work() { node->parts().background.run_here(); }
  // This time passes, with the alarms in it, and what the background has to do then.
  void pass(Nanos time) {
    const Instant end = node.clock().now() + time;
    for (;;) {
      const auto next = node->parts().alarms.next();
      if (!next || *next > end) break;
      node.step();
      work();
    }
    if (node.clock().now() < end) node.clock().set(end);
  }
  bool loaded(const std::string& name = "a") { return node->executor(name)->loaded; }
  std::vector<LeaseInfo> leases() { return node->executor("a")->leases; }

  const std::shared_ptr<Told> told = std::make_shared<Told>();
  Driven node{config(told)};
};

TEST_F(LeasesTest, AnExecutorLeavesWhenItsLastLeaseEnds) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", seconds(60)));
  pass(milliseconds(59'999));
  EXPECT_TRUE(loaded());
  pass(milliseconds(1));
  EXPECT_FALSE(loaded());
  EXPECT_EQ(told->left, (std::vector<std::string>{"a unheld"}));
  EXPECT_EQ(node->info().memory_bytes_promised, 0U);
  EXPECT_TRUE(leases().empty());
}

TEST_F(LeasesTest, OneThatHasEndedIsNotShownBeforeItIsTakenOut) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", milliseconds(10)));
  node.clock().advance(milliseconds(10) - Nanos(1));
  EXPECT_EQ(leases().size(), 1U);
  node.clock().advance(Nanos(1));
  EXPECT_TRUE(leases().empty()) << "no alarm has rung yet";
}

TEST_F(LeasesTest, OneThatNobodyHasHeldStays) {
  ASSERT_TRUE(node->add(executor("a")));
  pass(std::chrono::hours(100));
  EXPECT_TRUE(loaded());
}

TEST_F(LeasesTest, ALaterLeaseOfATenantTakesThePlaceOfItsEarlierOne) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", seconds(60)));
  ASSERT_TRUE(node->hold("a", "t", seconds(10)));
  pass(seconds(9));
  ASSERT_TRUE(node->hold("a", "t", seconds(10)));
  pass(milliseconds(9'999));
  EXPECT_TRUE(loaded());
  pass(milliseconds(1));
  EXPECT_FALSE(loaded());
}

TEST_F(LeasesTest, TwoTenantsHoldItUntilTheLaterEnd) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", seconds(10)));
  ASSERT_TRUE(node->hold("a", "u", seconds(20)));
  EXPECT_EQ(leases(), (std::vector<LeaseInfo>{{"t", 10}, {"u", 20}}));
  pass(seconds(15));
  EXPECT_TRUE(loaded());
  EXPECT_EQ(leases(), (std::vector<LeaseInfo>{{"u", 5}}));
  pass(seconds(5));
  EXPECT_FALSE(loaded());
}

TEST_F(LeasesTest, ATenantReleasesNothingOfAnotherOne) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", kForEverMs));
  ASSERT_TRUE(node->hold("a", "u", seconds(20)));
  ASSERT_TRUE(node->hold("a", "u", seconds(0)));
  ASSERT_TRUE(node->release("a", "v"));
  pass(std::chrono::hours(100));
  EXPECT_TRUE(loaded());
  EXPECT_EQ(leases(), (std::vector<LeaseInfo>{{"t", std::numeric_limits<double>::infinity()}}));
  ASSERT_TRUE(node->release("a", "t"));
  EXPECT_TRUE(loaded()) << "a thread of the node takes it out";
  work();
  EXPECT_FALSE(loaded());
}

TEST_F(LeasesTest, OneThatNobodyHoldsLeavesWhenATenantLetsGoOfIt) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", seconds(0)));
  work();
  EXPECT_FALSE(loaded());
}

TEST_F(LeasesTest, NotWhileItHasWork) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", milliseconds(1)));
  Submission s = *node->submit(request("a", "hello", 100), {});
  pass(milliseconds(2));
  work();
  EXPECT_TRUE(leases().empty());
  EXPECT_TRUE(loaded());
  EXPECT_EQ(node->executor("a")->active, 1);
  node.finish();
  EXPECT_EQ(s.result.get().finish, Finish::kLength);
  EXPECT_TRUE(loaded());
  work();
  EXPECT_FALSE(loaded());
}

TEST_F(LeasesTest, ReleasedWhileItHasWorkItLeavesAfterIt) {
  ASSERT_TRUE(node->add(executor("a")));
  Submission s = *node->submit(request("a", "hello", 20), {});
  ASSERT_TRUE(node->release("a", "t"));
  work();
  EXPECT_TRUE(loaded());
  node.finish();
  work();
  EXPECT_EQ(s.result.get().finish, Finish::kLength);
  EXPECT_FALSE(loaded());
}

TEST_F(LeasesTest, ALeaseFromACallbackKeepsItInMemory) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", milliseconds(1)));
  ASSERT_TRUE(
      node->submit(request("a", "hello", 100), {.on_event = {}, .on_done = [&](const Completion&) {
                                                  EXPECT_TRUE(node->hold("a", "t", seconds(10)));
                                                }}));
  while (node->info().requests_active > 0) {
    node.step();
    work();
  }
  work();
  EXPECT_TRUE(loaded());
  pass(seconds(10));
  EXPECT_FALSE(loaded());
}

TEST_F(LeasesTest, NotWhileRequestsWaitForItsLoad) {
  ASSERT_TRUE(node->declare(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", milliseconds(10)));
  Submission s = *node->enqueue(*node->prepare(request("a", "hello", 3)), {});
  node.clock().advance(milliseconds(20));
  node->parts().alarms.ring_due();
  ASSERT_TRUE(node->release("a", "u"));
  work();
  EXPECT_TRUE(loaded());
  EXPECT_EQ(told->loads.size(), 1U);
  node.finish();
  EXPECT_EQ(s.result.get().finish, Finish::kLength);
  work();
  EXPECT_FALSE(loaded()) << "after them";
  EXPECT_EQ(told->loads.size(), 1U);
}

TEST_F(LeasesTest, WhatEndedBeforeALoadDoesNotMatterAfterIt) {
  ASSERT_TRUE(node->declare(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", seconds(1)));
  pass(seconds(2));
  ASSERT_TRUE(node->release("a", "t"));
  ASSERT_TRUE(node->load("a"));
  work();
  EXPECT_TRUE(loaded());
  ASSERT_TRUE(node->hold("a", "t", seconds(1)));
  pass(seconds(2));
  EXPECT_FALSE(loaded());
  ASSERT_TRUE(node->submit(request("a", "hello", 3), {}));
  node.finish();
  work();
  EXPECT_TRUE(loaded()) << "it has left, and nobody has held it since";
}

TEST_F(LeasesTest, APinnedExecutorStaysUntilItIsNotPinned) {
  ExecutorConfig pinned = executor("a");
  pinned.pinned = true;
  ASSERT_TRUE(node->add(pinned));
  ASSERT_TRUE(node->hold("a", "t", seconds(1)));
  pass(seconds(2));
  ASSERT_TRUE(node->release("a", "t"));
  work();
  EXPECT_TRUE(loaded());
  pinned.pinned = false;
  ASSERT_TRUE(node.waiting([&] { return node->update(pinned); }));
  work();
  EXPECT_FALSE(loaded());
}

TEST_F(LeasesTest, TheyEndWithTheirExecutor) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", seconds(1)));
  ASSERT_TRUE(node->release("a", "u"));
  ASSERT_TRUE(node->remove("a", Drain::kFinish));
  EXPECT_EQ(node->hold("a", "t", seconds(1)).error().code, Code::kNotFound);
  EXPECT_EQ(node->release("a", "t").error().code, Code::kNotFound);
  ASSERT_TRUE(node->add(executor("a")));
  work();
  EXPECT_TRUE(leases().empty());
  pass(seconds(2));
  EXPECT_TRUE(loaded());
}

TEST_F(LeasesTest, TheyMoveWithTheirExecutor) {
  Driven there;
  ASSERT_TRUE(node->add(executor("a")));
  const Instant end = node.clock().now() + seconds(10);
  ASSERT_TRUE(node->hold("a", "t", seconds(10)));
  ASSERT_TRUE(node->migrate("a", *there));
  ASSERT_EQ(there->executor("a")->leases.size(), 1U);
  there->parts().background.run_here();
  there.finish();  // its alarm comes last
  EXPECT_EQ(there.clock().now(), end);
  there->parts().background.run_here();
  EXPECT_FALSE(there->executor("a")->loaded);
}

TEST_F(LeasesTest, WrongOnesAreRefused) {
  ASSERT_TRUE(node->add(executor("a")));
  const Status negative = node->hold("a", "t", milliseconds(-1));
  ASSERT_FALSE(negative);
  EXPECT_EQ(negative.error().code, Code::kInvalidArgument);
  EXPECT_EQ(negative.error().fact("value"), -1);
  EXPECT_EQ(node->hold("a", std::string(257, 'x'), seconds(1)).error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(node->release("a", "\xff").error().code, Code::kInvalidArgument);
  for (int i = 0; i < 4096; ++i) ASSERT_TRUE(node->hold("a", std::to_string(i), seconds(1)));
  const Status full = node->hold("a", "one more", seconds(1));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Code::kOverloaded);
  EXPECT_EQ(full.error().fact("limit"), 4096);
  EXPECT_TRUE(node->hold("a", "17", seconds(2))) << "it has one";
}

TEST_F(LeasesTest, TheNodeEndsWithThem) {
  const auto threads = start(config(told));
  ASSERT_TRUE(threads->add(executor("a")));
  ASSERT_TRUE(threads->hold("a", "t", std::chrono::hours(1)));
  ASSERT_TRUE(threads->hold("a", "u", kForEverMs));
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", seconds(1)));
  node.waiting([&] {
    node->shutdown(Drain::kCancel);
    return true;
  });
  pass(seconds(2));
  EXPECT_TRUE(loaded()) << "it ends with its node, which has better to do";
}

class Leaving final : public Observer {
 public:
  void on_left(const ExecutorLeft& left) override { why.set_value(left.why); }
  std::promise<ExecutorLeft::Why> why;
};

TEST(Leases, AThreadOfTheNodeTakesOutWhatNobodyHolds) {
  const auto leaving = std::make_shared<Leaving>();
  NodeConfig config;
  config.observer = leaving;
  const auto node = start(config);
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", milliseconds(1)));
  EXPECT_EQ(leaving->why.get_future().get(), ExecutorLeft::Why::kUnheld);
}

TEST(LeasesUnderPressure, AHeldExecutorLeavesForALoadAndItsLeaseGoesOn) {
  const auto told = std::make_shared<Told>();
  NodeConfig config;
  config.observer = told;
  config.memory_bytes_max = bytes_of_one() * 3 / 2;
  Driven node(config);
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->hold("a", "t", seconds(10)));
  ASSERT_TRUE(node->add(executor("b")));
  EXPECT_EQ(told->left, (std::vector<std::string>{"a evicted"}));
  EXPECT_EQ(node->executor("a")->leases.size(), 1U);
  node.clock().advance(seconds(5));
  ASSERT_TRUE(node->load("a"));
  node.finish();  // the alarm comes last
  node->parts().background.run_here();
  EXPECT_EQ(told->left, (std::vector<std::string>{"a evicted", "b evicted", "a unheld"}));
}

TEST(LeasesUnderPressure, WhatWasJustLoadedIsNotWhatWasUnusedForLongest) {
  const auto told = std::make_shared<Told>();
  NodeConfig config;
  config.observer = told;
  config.memory_bytes_max = bytes_of_one() * 5 / 2;
  Driven node(config);
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->unload("a"));
  node.clock().advance(seconds(50));
  ASSERT_TRUE(node->add(executor("b")));
  node.clock().advance(seconds(50));
  ASSERT_TRUE(node->load("a"));
  ASSERT_TRUE(node->add(executor("c")));
  EXPECT_EQ(told->left, (std::vector<std::string>{"a", "b evicted"}));
}

// Another thing happens while a prompt is tokenized.
class TokenizingModel final : public sim::FakeModel {
 public:
  explicit TokenizingModel(const std::function<void()>& meanwhile) : meanwhile_(meanwhile) {}
  Result<std::vector<TokenId>> tokenize(std::string_view text, Special special) const override {
    if (meanwhile_) meanwhile_();
    return FakeModel::tokenize(text, special);
  }

 private:
  const std::function<void()>& meanwhile_;
};

class TokenizingBackend final : public PlainBackend {
 public:
  explicit TokenizingBackend(const std::function<void()>& meanwhile) : meanwhile_(meanwhile) {}
  Result<std::shared_ptr<const Model>> load(const std::string&, const LoadProgress&) override {
    return std::static_pointer_cast<const Model>(
        std::make_shared<const TokenizingModel>(meanwhile_));
  }

 private:
  const std::function<void()>& meanwhile_;
};

TEST(LeasesUnderPressure, WhatWasLoadedForARequestThatIsJustComingDoesNotLeave) {
  NodeConfig config;
  config.memory_bytes_max = bytes_of_one() * 3 / 2;
  std::function<void()> meanwhile;
  const auto node =
      *Runtime::create(config, machine_of(1), std::make_unique<TokenizingBackend>(meanwhile));
  ASSERT_TRUE(node->declare(executor("a")));
  ASSERT_TRUE(node->declare(executor("b")));
  std::optional<Status> other;
  meanwhile = [&] {
    if (!other) other = node->load("b");
  };
  auto submission = node->submit(request("a", "hello", 3), {});
  ASSERT_TRUE(submission);
  ASSERT_TRUE(other);
  ASSERT_FALSE(*other) << "a left memory for it";
  EXPECT_EQ(other->error().code, Code::kOutOfMemory);
  EXPECT_EQ(submission->result.get().finish, Finish::kLength);
  EXPECT_TRUE(node->wait_idle());
  EXPECT_TRUE(node->load("b")) << "now it may";
}

}  // namespace
}  // namespace choir
