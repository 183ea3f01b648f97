// A drain: the door is closed, what is in goes on, and the wait for it has a limit.
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "tests/driven.h"
#include "tests/fake_node.h"
#include "tests/pass_gate.h"

namespace choir {
namespace {

using std::chrono::milliseconds;

TEST(Drain, AClosedDoorRefusesNewWorkAtOnce) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->add(executor("encoder")));
  EXPECT_FALSE(node->info().door_closed);
  node->close_door();
  EXPECT_TRUE(node->info().door_closed);
  EXPECT_EQ(node->submit(request("a", "x"), {}).error().code, Code::kDraining);
  EXPECT_EQ(node->run(request("a", "x")).error().code, Code::kDraining);
  EXPECT_EQ(node->embed("encoder", "x").error().code, Code::kDraining);
  EXPECT_EQ(node->add(executor("b")).error().code, Code::kDraining);
  node->close_door();
  EXPECT_TRUE(node->info().door_closed);
  EXPECT_EQ(node->submit(request("a", "x"), {}).error().code, Code::kDraining);
}

TEST(Drain, ShutdownIsSeenAsAClosedDoor) {
  Driven node;
  node->shutdown(Drain::kFinish);
  EXPECT_TRUE(node->info().door_closed);
}

TEST(Drain, WhatWasAcceptedGoesOnWhetherItRunsOrWaits) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a", 1)));
  auto runs = node->submit(request("a", "runs"), {}).value();
  auto waits = node->submit(request("a", "waits"), {}).value();
  node.step();
  node->close_door();
  EXPECT_TRUE(node.waiting([&] { return node->wait_idle(milliseconds(10'000)); }));
  EXPECT_EQ(runs.result.get().finish, Finish::kLength);
  EXPECT_EQ(waits.result.get().finish, Finish::kLength);
}

TEST(Drain, ARequestInACallbackIsRefused) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  std::optional<Error> refused;
  ASSERT_TRUE(node->submit(request("a", "x"), {.on_event = {}, .on_done = [&](const Completion&) {
                                                 refused =
                                                     node->submit(request("a", "y"), {}).error();
                                               }}));
  node->close_door();
  EXPECT_TRUE(node.waiting([&] { return node->wait_idle(); }));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, Code::kDraining);
}

TEST(Drain, NothingIsLoadedForARequestThatIsRefused) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->unload("a"));
  node->close_door();
  EXPECT_EQ(node->submit(request("a", "x"), {}).error().code, Code::kDraining);
  EXPECT_FALSE(node->in_memory("a"));
  EXPECT_TRUE(node->load("a")) << "who asks for it may";
}

// Tells when an engine is made.
class TellingBackend final : public PlainBackend {
 public:
  explicit TellingBackend(std::function<void()>& told) : told_(told) {}
  Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                const EngineConfig& config) override {
    if (told_) told_();
    return PlainBackend::create_engine(std::move(model), config);
  }

 private:
  std::function<void()>& told_;
};

TEST(Drain, ADoorThatClosesDuringALoadRefusesWhoWaitedForIt) {
  std::function<void()> during_load;
  const auto runtime =
      *Runtime::create({}, machine_of(1), std::make_unique<TellingBackend>(during_load));
  ASSERT_TRUE(runtime->add(executor("a")));
  ASSERT_TRUE(runtime->unload("a"));
  during_load = [&] { runtime->close_door(); };
  EXPECT_EQ(runtime->submit(request("a", "x"), {}).error().code, Code::kDraining);
}

TEST(Drain, AnExecutorDoesNotMoveIntoANodeThatDrains) {
  Driven from;
  Driven to;
  ASSERT_TRUE(from->add(executor("a")));
  auto runs = from->submit(request("a", "runs"), {}).value();
  to->close_door();
  EXPECT_EQ(from->migrate("a", *to).error().code, Code::kDraining);
  from.finish();
  EXPECT_EQ(runs.result.get().finish, Finish::kLength);
}

TEST(Drain, WhenTheTimeIsOverItSaysHowManyAreActive) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->add(executor("b")));
  ASSERT_TRUE(node.waiting([&] { return node->suspend("b"); }));
  ASSERT_TRUE(node->submit(request("a", "x", 400), {}));
  ASSERT_TRUE(node->submit(request("b", "x"), {}));
  ASSERT_TRUE(node->submit(request("b", "y"), {}));
  node->close_door();
  const Instant began = node.clock().now();
  const Status early = node.waiting([&] { return node->wait_idle(milliseconds(1)); });
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(early.error().facts,
            (std::vector<Fact>{
                {"active_requests", 3}, {"active_embeddings", 0}, {"suspended_requests", 2}}));
  const Status late = node.waiting([&] { return node->wait_idle(milliseconds(500)); });
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().facts,
            (std::vector<Fact>{
                {"active_requests", 2}, {"active_embeddings", 0}, {"suspended_requests", 2}}))
      << "suspended requests stand still";
  EXPECT_LE(node.clock().now() - began, milliseconds(502));
  ASSERT_TRUE(node->resume("b"));
  EXPECT_TRUE(node.waiting([&] { return node->wait_idle(milliseconds(500)); }));
}

TEST(Drain, NoTimeOnlyLooks) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  EXPECT_TRUE(node->wait_idle(milliseconds(0)));
  ASSERT_TRUE(node->submit(request("a", "x"), {}));
  EXPECT_EQ(node->wait_idle(milliseconds(0)).error().fact("active_requests"), 1);
  EXPECT_EQ(node->wait_idle(milliseconds(-7)).error().fact("active_requests"), 1);
  EXPECT_TRUE(node.waiting([&] { return node->wait_idle(milliseconds::max()); }));
}

TEST(Drain, AnEmbeddingCountsAsActive) {
  const auto gate = std::make_shared<PassGate>();
  const auto runtime = *Runtime::create({}, machine_of(1), std::make_unique<GatedBackend>(gate));
  ASSERT_TRUE(runtime->add(executor("encoder")));
  gate->close();
  auto vector = std::async(std::launch::async, [&] { return runtime->embed("encoder", "x"); });
  gate->await_pass();
  const Status status = runtime->wait_idle(milliseconds(0));
  gate->open();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().fact("active_embeddings"), 1);
  EXPECT_TRUE(runtime->wait_idle());
  EXPECT_TRUE(vector.get());
}

TEST(Drain, WaitingInsideACallbackIsRefused) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  std::promise<Status> waited;
  auto submission =
      runtime->submit(request("a", "x"), {.on_event = {}, .on_done = [&](const Completion&) {
                                            waited.set_value(runtime->wait_idle(milliseconds(0)));
                                          }});
  ASSERT_TRUE(submission);
  EXPECT_EQ(waited.get_future().get().error().code, Code::kInvalidArgument);
}

TEST(DrivenNode, EndsWithRequestsThatNobodyBringsToTheirEnd) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  const auto runs = node->submit(request("a", "hello", 20), {});
  ASSERT_TRUE(runs);
  node.step();
  ASSERT_TRUE(node->submit(request("a", "waits", 20), {}));
}

}  // namespace
}  // namespace choir
