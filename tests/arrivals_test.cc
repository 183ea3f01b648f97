// Requests that are accepted before their executor is in memory, and loads that are watched, in
// virtual time.
#include <string>
#include <vector>

#include "tests/arrivals_stage.h"

namespace choir {
namespace {

TEST_F(ArrivalsTest, TwoHundredRequestsShareOneLoad) {
  ASSERT_TRUE(node->declare(executor("a")));
  std::vector<Submission> all;
  for (int i = 0; i < 200; ++i) all.push_back(enqueue(request("a", "hello", 3)));
  EXPECT_EQ(loads->good, 0) << "nothing is loaded on the caller's thread";
  EXPECT_FALSE(node->executor("a")->loaded);
  EXPECT_EQ(node->executor("a")->active, 200);
  EXPECT_EQ(node->executor("a")->waiting, 200);
  const auto seen = node->requests();
  ASSERT_EQ(seen.size(), 200U);
  EXPECT_EQ(seen[0].waits_for, WaitsFor::kLoad);
  work();
  EXPECT_EQ(loads->good, 1);
  EXPECT_EQ(node->executor("a")->waiting, 0) << "they are mail now";
  node.finish();
  Submission warm = *node->submit(request("a", "hello", 3), {});
  node.finish();
  const auto alone = warm.result.get().tokens;
  for (Submission& s : all) {
    ASSERT_TRUE(ready(s));
    EXPECT_EQ(s.result.get().tokens, alone);
  }
  EXPECT_EQ(node->executor("a")->active, 0);
}

TEST_F(ArrivalsTest, TheTimeBeforeTheirExecutorTookThemIsTold) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission cold = enqueue(request("a", "hello", 3));
  node.clock().advance(std::chrono::seconds(3));
  EXPECT_EQ(node->requests().at(0).held_seconds, 0) << "it is held still";
  work();
  EXPECT_GE(node->requests().at(0).held_seconds, 3.0);
  node.finish();
  const Usage usage = cold.result.get().usage;
  EXPECT_GE(usage.held_seconds, 3.0);
  EXPECT_GE(usage.queue_seconds, usage.held_seconds);
}

TEST_F(ArrivalsTest, WhatIsPreparedForAnExecutorInMemoryIsItsMailAtOnce) {
  ASSERT_TRUE(node->add(executor("a")));
  const Prepared prepared = *node->prepare(request("", "hello", 3));
  EXPECT_EQ(prepared.prompt_tokens(), 5);
  EXPECT_EQ(prepared.request().executor, "a");
  Submission one = *node->enqueue(prepared, {});
  Submission two = *node->enqueue(prepared, {});
  node.finish();
  EXPECT_EQ(one.result.get().tokens, two.result.get().tokens);
}

TEST_F(ArrivalsTest, WhatWasPreparedForAnotherModelIsTokenizedAgain) {
  ASSERT_TRUE(node->declare(executor("a")));
  const Prepared cold = *node->prepare(request("a", "hello", 3));
  EXPECT_EQ(cold.prompt_tokens(), 0);
  ASSERT_TRUE(node->load("a"));
  Submission s = *node->enqueue(cold, {});
  work();
  node.finish();
  EXPECT_EQ(s.result.get().usage.prompt_tokens, 5);
}

TEST_F(ArrivalsTest, WhatOnlyTheLoadCanTellIsTheEndOfTheRequest) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission long_one = enqueue(request("a", std::string(600, 'x'), 3));
  Submission good = enqueue(request("a", "hello", 3));
  work();
  node.finish();
  const Completion end = long_one.result.get();
  EXPECT_EQ(end.finish, Finish::kFailed);
  EXPECT_EQ(end.error->code, Code::kTooLong);
  EXPECT_EQ(end.executor, "a");
  EXPECT_EQ(good.result.get().finish, Finish::kLength);
  EXPECT_EQ(node->executor("a")->requests_failed, 1U);
}

TEST_F(ArrivalsTest, AnExecutorThatHasBecomeSmallerRefusesAtOnce) {
  ASSERT_TRUE(node->add(executor("a")));
  const Prepared prepared = *node->prepare(request("a", std::string(400, 'x'), 3));
  ASSERT_TRUE(node.waiting([&] { return node->resize("a", 4, 100); }));
  EXPECT_EQ(node->enqueue(prepared, {}).error().code, Code::kTooLong);
  EXPECT_TRUE(node->requests().empty());
}

TEST_F(ArrivalsTest, ACancelEndsItWithoutTheLoad) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission gone = enqueue(request("a", "hello", 3));
  Submission stays = enqueue(request("a", "hello", 3));
  ASSERT_TRUE(node->cancel(gone.id));
  tell();
  ASSERT_TRUE(ready(gone));
  const Completion end = gone.result.get();
  EXPECT_EQ(end.finish, Finish::kCancelled);
  EXPECT_EQ(end.error->code, Code::kCancelled);
  EXPECT_FALSE(node->cancel(gone.id)) << "it has ended";
  work();
  node.finish();
  EXPECT_EQ(stays.result.get().finish, Finish::kLength);
}

TEST_F(ArrivalsTest, ADeadlineEndsItWithoutTheLoad) {
  ASSERT_TRUE(node->declare(executor("a")));
  Request r = request("a", "hello", 3);
  r.deadline = std::chrono::milliseconds(70);
  Submission late = enqueue(r);
  EXPECT_TRUE(node.step()) << "an alarm";
  ASSERT_TRUE(ready(late));
  const Completion end = late.result.get();
  EXPECT_EQ(end.finish, Finish::kDeadline);
  EXPECT_DOUBLE_EQ(end.usage.total_seconds, 0.07);
  work();
  EXPECT_EQ(loads->good, 0) << "nobody is left to load it for";
}

TEST_F(ArrivalsTest, EachOfTheirDeadlinesIsKept) {
  ASSERT_TRUE(node->declare(executor("a")));
  Request r = request("a", "hello", 3);
  std::vector<Submission> all;
  for (const int ms : {90, 70, 80}) {
    r.deadline = std::chrono::milliseconds(ms);
    all.push_back(enqueue(r));
  }
  node.finish();
  for (const std::size_t i : {0U, 1U, 2U}) {
    ASSERT_TRUE(ready(all[i])) << i;
    EXPECT_EQ(all[i].result.get().finish, Finish::kDeadline);
  }
  EXPECT_EQ(node.clock().now().since_start, std::chrono::milliseconds(90));
}

TEST_F(ArrivalsTest, AFailedLoadIsTheEndOfAllAndIsRememberedForAWhile) {
  ASSERT_TRUE(node->declare(missing()));
  const auto fails = [&] {
    Submission one = enqueue(request("broken", "hello"));
    Submission two = enqueue(request("broken", "hello"));
    work();
    tell();
    EXPECT_EQ(one.result.get().error->code, Code::kNotFound);
    EXPECT_EQ(two.result.get().error->code, Code::kNotFound);
    return loads->failed;
  };
  EXPECT_EQ(fails(), 1);
  EXPECT_EQ(fails(), 1) << "it was not tried again";
  node.clock().advance(std::chrono::milliseconds(4999));
  EXPECT_EQ(fails(), 1);
  node.clock().advance(std::chrono::milliseconds(1));
  EXPECT_EQ(fails(), 2);
  node.clock().advance(std::chrono::milliseconds(29999));
  EXPECT_EQ(fails(), 2) << "the second pause is longer";
  const LoadTicket ticket = *node->begin_load("broken");
  work();
  EXPECT_EQ(loads->failed, 3) << "who asks for a load gets one";
  EXPECT_EQ(ticket.state().phase, LoadState::Phase::kFailed);
  EXPECT_EQ(ticket.wait().error().code, Code::kNotFound);
  EXPECT_TRUE(node->requests().empty());
}

TEST_F(ArrivalsTest, ATicketShowsTheLoadAndSharesItWithRequests) {
  ASSERT_TRUE(node->declare(executor("a")));
  const LoadTicket one = *node->begin_load("a");
  const LoadTicket two = *node->begin_load("a");
  Submission request_too = enqueue(request("a", "hello", 3));
  EXPECT_EQ(one.state().phase, LoadState::Phase::kWaiting);
  EXPECT_EQ(one.wait(std::chrono::milliseconds(0)).error().code, Code::kDeadlineExceeded);
  work();
  EXPECT_EQ(loads->good, 1);
  for (const LoadTicket& ticket : {one, two}) {
    EXPECT_EQ(ticket.state().phase, LoadState::Phase::kLoaded);
    EXPECT_DOUBLE_EQ(ticket.state().fraction, 1);
    EXPECT_TRUE(ticket.wait());
  }
  EXPECT_EQ(node->begin_load("b").error().code, Code::kNotFound);
  EXPECT_FALSE(LoadTicket().wait());
  node.finish();
  EXPECT_EQ(request_too.result.get().finish, Finish::kLength);
}

TEST_F(ArrivalsTest, EachTicketIsToldOnceWhenTheLoadHasEnded) {
  ASSERT_TRUE(node->declare(executor("a")));
  int told = 0;
  const LoadWatch watch{.on_end = [&] { told += node->executor("a")->loaded ? 1 : 100; }};
  LoadTicket one = *node->begin_load("a", watch);
  const LoadTicket two = *node->begin_load("a", watch);
  one.cancel();
  EXPECT_EQ(told, 0);
  work();
  EXPECT_EQ(told, 2);
  work();
  EXPECT_EQ(told, 2);
}

TEST_F(ArrivalsTest, ATicketCanHeedTheFailuresThatRequestsHeed) {
  ASSERT_TRUE(node->declare(missing()));
  Submission failed = enqueue(request("broken", "hello"));
  work();
  EXPECT_EQ(loads->failed, 1);
  int told = 0;
  const LoadWatch watch{.on_end = [&] { ++told; }, .heed_failures = true};
  EXPECT_EQ(node->begin_load("broken", watch).error().code, Code::kNotFound);
  work();
  EXPECT_EQ(loads->failed, 1);
  EXPECT_EQ(told, 0);
  node.clock().advance(std::chrono::seconds(5));
  EXPECT_TRUE(node->begin_load("broken", watch));
  work();
  EXPECT_EQ(loads->failed, 2);
  EXPECT_EQ(told, 1);
}

TEST_F(ArrivalsTest, AnExecutorShowsTheLoadThatItsRequestsWaitFor) {
  ASSERT_TRUE(node->declare(executor("a")));
  EXPECT_FALSE(node->executor("a")->loading);
  enqueue(request("a", "hello", 3));
  const auto seen = watch_half();
  work();
  EXPECT_EQ(*seen, 0.5);
  EXPECT_FALSE(node->executor("a")->loading);
}

TEST_F(ArrivalsTest, ALoadThatWaitsForAnotherOneIsShown) {
  ASSERT_TRUE(node->declare(executor("a")));
  const LoadTicket ticket = *node->begin_load("a");
  EXPECT_EQ(node->executor("a")->loading, 0.0);
  work();
  EXPECT_FALSE(node->executor("a")->loading);
}

TEST_F(ArrivalsTest, ALoadThatACallerWaitsForIsShown) {
  ASSERT_TRUE(node->declare(executor("a")));
  const auto seen = watch_half();
  ASSERT_TRUE(node->load("a"));
  EXPECT_EQ(*seen, 0.5);
  EXPECT_FALSE(node->executor("a")->loading);
}

struct Wishes {
  const char* name;
  int tickets;
  int cancelled;
  bool request;
  bool loads;
};
class ALoad : public ArrivalsTest, public testing::WithParamInterface<Wishes> {};

TEST_P(ALoad, IsGivenUpWhenNobodyWantsIt) {
  const Wishes& w = GetParam();
  ASSERT_TRUE(node->declare(executor("a")));
  std::vector<LoadTicket> tickets;
  for (int i = 0; i < w.tickets; ++i) tickets.push_back(*node->begin_load("a"));
  if (w.request) {
    ASSERT_TRUE(node->cancel(enqueue(request("a", "hello")).id));
    enqueue(request("a", "hello", 3));
  }
  for (int i = 0; i < w.cancelled; ++i) {
    tickets[static_cast<std::size_t>(i)].cancel();
    tickets[static_cast<std::size_t>(i)].cancel();
  }
  work();
  node.finish();
  EXPECT_EQ(node->executor("a")->loaded, w.loads);
  if (!w.loads) {
    EXPECT_EQ(tickets[0].wait().error().code, Code::kCancelled);
  }
  tickets.clear();
  const LoadTicket again = *node->begin_load("a");
  work();
  EXPECT_TRUE(again.wait()) << "another one is another load";
}

INSTANTIATE_TEST_SUITE_P(With, ALoad,
                         testing::Values(Wishes{"OneTicket", 1, 0, false, true},
                                         Wishes{"OneCancelled", 1, 1, false, false},
                                         Wishes{"OneOfTwoCancelled", 2, 1, false, true},
                                         Wishes{"AllCancelled", 3, 3, false, false},
                                         Wishes{"AllCancelledAndARequest", 2, 2, true, true}),
                         [](const auto& row) { return row.param.name; });

TEST_F(ArrivalsTest, TheyCountForTheQueueAndForTheDoors) {
  ASSERT_TRUE(node->declare(executor("a")));
  for (int i = 0; i < 300; ++i) enqueue(request("a", "hello", 1));
  const auto full = node->enqueue(*node->prepare(request("a", "hello")), {});
  EXPECT_EQ(full.error().code, Code::kOverloaded);
  EXPECT_EQ(node->wait_idle(std::chrono::milliseconds(0)).error().facts[0].value, 300);
  node->close_door();
  EXPECT_EQ(node->prepare(request("a", "hello")).error().code, Code::kDraining);
  work();
  node.finish();
  EXPECT_TRUE(node->requests().empty()) << "what was accepted is carried out";
}

TEST_F(ArrivalsTest, ThoseThatMoveToANodeWithAShorterQueueAreCarriedOut) {
  NodeConfig shorter;
  shorter.queue_max = 2;
  Driven there(shorter);
  ASSERT_TRUE(node->declare(executor("a")));
  std::vector<Submission> all;
  for (int i = 0; i < 6; ++i) all.push_back(enqueue(request("a", "hello", 3)));
  ASSERT_TRUE(node->migrate("a", *there));
  there->parts().background.run_here();
  there.finish();
  for (Submission& s : all) {
    ASSERT_TRUE(ready(s));
    EXPECT_EQ(s.result.get().finish, Finish::kLength);
  }
}

TEST_F(ArrivalsTest, ARemovalEndsThem) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission s = enqueue(request("a", "hello"));
  ASSERT_TRUE(node.waiting([&] { return node->remove("a", Drain::kCancel); }));
  EXPECT_EQ(s.result.get().finish, Finish::kCancelled);
  work();
  EXPECT_EQ(loads->good, 0);
}

TEST_F(ArrivalsTest, ARemovalThatWaitsLoadsForThem) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission s = enqueue(request("a", "hello", 3));
  const std::function<void()> others = [&] {
    work();
    node.step();
  };
  instead_of_sleeping = &others;
  EXPECT_TRUE(node->remove("a", Drain::kFinish));
  instead_of_sleeping = nullptr;
  EXPECT_EQ(s.result.get().finish, Finish::kLength);
}

TEST_F(ArrivalsTest, TheEndOfTheNodeEndsThem) {
  ASSERT_TRUE(node->declare(executor("a")));
  Submission s = enqueue(request("a", "hello"));
  node.waiting([&] {
    node->shutdown(Drain::kCancel);
    return true;
  });
  EXPECT_EQ(s.result.get().finish, Finish::kCancelled);
  EXPECT_EQ(node->begin_load("a").error().code, Code::kCancelled);
}

TEST_F(ArrivalsTest, ADeclaredExecutorIsThereAndNotLoaded) {
  ASSERT_TRUE(node->declare(executor("a")));
  EXPECT_EQ(node->declare(executor("a")).error().code, Code::kAlreadyExists);
  EXPECT_EQ(node->add(executor("a")).error().code, Code::kAlreadyExists);
  EXPECT_FALSE(node->executor("a")->loaded);
  EXPECT_EQ(node->info().memory_bytes_promised, 0U);
  ASSERT_TRUE(node->load("a"));
  EXPECT_TRUE(node->executor("a")->loaded);
  EXPECT_TRUE(node->unload("a"));
  EXPECT_EQ(node->info().memory_bytes_promised, 0U);
}

TEST_F(ArrivalsTest, UnderTheSequentialPolicyTheyStopNobodyElse) {
  ASSERT_TRUE(node->set_policy(ExecutionPolicy::kSequential));
  ASSERT_TRUE(node->declare(executor("cold")));
  ASSERT_TRUE(node->add(executor("warm")));
  Submission cold = enqueue(request("cold", "hello", 3));
  Submission warm = enqueue(request("warm", "hello", 3));
  node.finish();
  EXPECT_TRUE(ready(warm));
  work();
  node.finish();
  EXPECT_EQ(cold.result.get().finish, Finish::kLength);
}

}  // namespace
}  // namespace choir
