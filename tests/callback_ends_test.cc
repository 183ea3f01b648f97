// On which thread what users' callbacks captured ends, and when: on a dispatcher, before the
// future is ready. And who ends a node that is let go of there.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <latch>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/threads.h"
#include "runtime/dispatcher.h"
#include "tests/fake_node.h"
#include "tests/pass_gate.h"

namespace choir {
namespace {

class CallbackEnds : public testing::Test {
 protected:
  // Counts where it is destroyed.
  class Captured {
   public:
    explicit Captured(CallbackEnds& test) : test_(test) {}
    ~Captured() {
      if (Dispatcher::on_dispatcher_thread())
        ++test_.on_dispatchers_;
      else if (std::this_thread::get_id() == test_.own_)
        ++test_.on_the_callers_thread_;
      else
        ++test_.elsewhere_;
    }
    Captured(const Captured&) = delete;
    Captured& operator=(const Captured&) = delete;

   private:
    CallbackEnds& test_;
  };
  struct Asked {
    Result<Submission> submission;
    std::weak_ptr<Captured> captured;
  };

  Asked ask(Runtime& node, const std::string& name, std::int32_t max_tokens = 8,
            std::chrono::milliseconds deadline = {}) {
    auto one = std::make_shared<Captured>(*this);
    std::weak_ptr<Captured> captured = one;
    Request r = request(name, "what is captured", max_tokens);
    r.deadline = deadline;
    Callbacks callbacks{.on_event = [one](const StreamEvent&) {},
                        .on_done = [one](const Completion&) {},
                        .on_settled = [one](const Completion&) {}};
    one.reset();
    return {node.submit(r, std::move(callbacks)), captured};
  }
  void expect_ended(std::vector<Asked>& all) {
    for (Asked& one : all) {
      ASSERT_TRUE(one.submission) << one.submission.error().message;
      (void)one.submission->result.get();
      EXPECT_TRUE(one.captured.expired()) << "it is there though the future is ready";
    }
    EXPECT_EQ(on_dispatchers_, std::ssize(all));
    EXPECT_EQ(on_the_callers_thread_, 0);
    EXPECT_EQ(elsewhere_, 0);
  }

  const std::thread::id own_ = std::this_thread::get_id();
  std::atomic<int> on_dispatchers_{0};
  std::atomic<int> on_the_callers_thread_{0};
  std::atomic<int> elsewhere_{0};
};

TEST_F(CallbackEnds, OnADispatcherBeforeTheFutureIsReady) {
  const auto node = start();
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->add(executor("b")));
  std::vector<Asked> all;
  for (int i = 0; i < 400; ++i) all.push_back(ask(*node, i % 2 == 0 ? "a" : "b"));
  expect_ended(all);
}

TEST_F(CallbackEnds, OnADispatcherWhereTheRequestIsCancelled) {
  const auto node = start();
  ASSERT_TRUE(node->add(executor("a")));
  std::vector<Asked> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(ask(*node, "a", 400));
    if (i % 2 == 0) (void)node->cancel(all.back().submission->id);
  }
  node->shutdown(Drain::kCancel);
  expect_ended(all);
}

TEST_F(CallbackEnds, OnADispatcherWhereTheExecutorIsRemoved) {
  const auto node = start();
  ASSERT_TRUE(node->add(executor("a")));
  std::vector<Asked> all;
  for (int i = 0; i < 200; ++i) all.push_back(ask(*node, "a", 400));
  ASSERT_TRUE(node->remove("a", Drain::kCancel));
  expect_ended(all);
}

TEST_F(CallbackEnds, OnADispatcherWhereTheExecutorMoves) {
  const auto node = start();
  const auto other = start();
  ASSERT_TRUE(node->add(executor("a")));
  std::vector<Asked> all;
  for (int i = 0; i < 200; ++i) all.push_back(ask(*node, "a", 100));
  ASSERT_TRUE(node->migrate("a", *other));
  expect_ended(all);
}

TEST_F(CallbackEnds, OnADispatcherWhereTheEngineFails) {
  const auto node = start({}, {.fail_every = 3});
  ASSERT_TRUE(node->add(executor("a")));
  std::vector<Asked> all;
  for (int i = 0; i < 200; ++i) all.push_back(ask(*node, "a", 100));
  expect_ended(all);
}

TEST_F(CallbackEnds, OnTheCallersThreadWhereTheRequestIsRefused) {
  const auto node = start({.queue_max = 4});
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->suspend("a"));
  int refused = 0;
  std::vector<Asked> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(ask(*node, "a"));
    if (all.back().submission) continue;
    ++refused;
    EXPECT_TRUE(all.back().captured.expired());
  }
  node->shutdown(Drain::kCancel);
  for (Asked& one : all)
    if (one.submission) (void)one.submission->result.get();
  EXPECT_EQ(refused, 16);
  EXPECT_EQ(on_the_callers_thread_, refused);
  EXPECT_EQ(on_dispatchers_, 4);
  EXPECT_EQ(elsewhere_, 0);
}

// Says on which kind of thread a node ends.
class ToldBackend final : public PlainBackend {
 public:
  explicit ToldBackend(std::promise<bool>& may_join_there) : told_(may_join_there) {}
  ~ToldBackend() override { told_.set_value(may_join()); }

 private:
  std::promise<bool>& told_;
};

TEST(NodeEnd, IsOnAThreadThatMayJoinWhereACallbackLetsGoOfTheLast) {
  std::promise<bool> told;
  std::latch only_one(1);
  auto node = Runtime::create({}, machine_of(2), std::make_unique<ToldBackend>(told)).value();
  ASSERT_TRUE(node->add(executor("a")));
  auto result = node->submit(request("a", "the last"),
                             {.on_event = {},
                              .on_done = [node, &only_one](const Completion&) { only_one.wait(); }})
                    .value()
                    .result;
  node.reset();
  only_one.count_down();
  EXPECT_EQ(result.get().finish, Finish::kLength);
  EXPECT_TRUE(told.get_future().get());
}

TEST(NodeEnd, EndsTheOtherRequestsWhereACallbackLetsGoOfTheLast) {
  std::promise<bool> told;
  std::latch only_one(1);
  auto node = Runtime::create({}, machine_of(2), std::make_unique<ToldBackend>(told)).value();
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->add(executor("still")));
  ASSERT_TRUE(node->suspend("still"));
  auto other = node->submit(request("still", "waits"), {}).value().result;
  (void)node
      ->submit(
          request("a", "the last"),
          {.on_event = {}, .on_done = [node, &only_one](const Completion&) { only_one.wait(); }})
      .value();
  node.reset();
  only_one.count_down();
  EXPECT_EQ(other.get().finish, Finish::kCancelled);
  EXPECT_TRUE(told.get_future().get());
}

}  // namespace
}  // namespace choir
