#include "base/workers.h"
#include "base/threads.h"

#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <stdexcept>

#include "base/log.h"

namespace choir {
namespace {

std::unique_ptr<Workers> start(int threads, int at_once = 1, std::size_t waiting_max = SIZE_MAX) {
  return Workers::start({.threads = threads, .at_once = at_once, .waiting_max = waiting_max})
      .value();
}

TEST(Workers, DoWorkOfOneKeyInItsOrder) {
  std::vector<int> order;
  auto workers = start(3);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(workers->post(7, [&order, i] { order.push_back(i); }));
  workers.reset();
  ASSERT_EQ(order.size(), 100U) << "what was posted is done before the end";
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(Workers, ASlowKeyLeavesThreadsForTheOthers) {
  std::latch slow(1);
  std::latch others(3);
  auto workers = start(2);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(workers->post(1, [&] { slow.wait(); }));
  for (const Workers::Key key : {2U, 3U, 2U})
    ASSERT_TRUE(workers->post(key, [&] { others.count_down(); }));
  others.wait();
  slow.count_down();
}

TEST(Workers, WithoutThreadsWorkIsDoneWhereItsOwnerSays) {
  const auto workers = Workers::by_hand({.threads = 2});
  std::vector<int> order;
  const auto note = [&](int what) { return [&order, what] { order.push_back(what); }; };
  ASSERT_TRUE(workers->post(1, [&] {
    order.push_back(1);
    EXPECT_TRUE(workers->run_here()) << "of the other key";
    EXPECT_FALSE(workers->run_here()) << "the rest is of this one";
    order.push_back(2);
  }));
  ASSERT_TRUE(workers->post(1, note(3)));
  ASSERT_TRUE(workers->post(2, note(4)));
  EXPECT_TRUE(order.empty());
  EXPECT_TRUE(workers->run_here());
  EXPECT_EQ(order, (std::vector<int>{1, 4, 2, 3}));
  EXPECT_FALSE(workers->run_here());
}

TEST(Workers, WithoutThreadsWhatThrowsEndsOnlyThat) {
  set_log_level(LogLevel::kOff);
  const auto workers = Workers::by_hand({.threads = 1});
  bool done = false;
  ASSERT_TRUE(workers->post(1, [] { throw std::runtime_error("on purpose"); }));
  ASSERT_TRUE(workers->post(1, [&] { done = true; }));
  EXPECT_TRUE(workers->run_here());
  EXPECT_TRUE(done);
  set_log_level(LogLevel::kWarn);
}

TEST(Workers, OnlySoMuchOfAKeyWaits) {
  std::latch began(1);
  std::latch go_on(1);
  auto workers = start(1, 1, 2);
  ASSERT_TRUE(workers->post(1, [&] {
    began.count_down();
    go_on.wait();
  }));
  began.wait();
  EXPECT_TRUE(workers->post(1, [] {}));
  EXPECT_TRUE(workers->post(1, [] {}));
  const Status refused = workers->post(1, [] {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  EXPECT_TRUE(workers->post(2, [] {})) << "of another key";
  EXPECT_TRUE(workers->post(Workers::kNoKey, [] {}));
  EXPECT_TRUE(workers->busy(1));
  go_on.count_down();
}

TEST(Workers, AsMuchRunsAtOnceAsIsAllowed) {
  std::latch both(2);
  auto workers = start(2, 2);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(workers->post(1, [&] { both.arrive_and_wait(); }));
}

TEST(Workers, WhatWorkThrowsEndsOnlyThat) {
  set_log_level(LogLevel::kOff);
  auto workers = start(1);
  std::promise<void> next;
  ASSERT_TRUE(workers->post(1, [] { throw std::runtime_error("on purpose"); }));
  ASSERT_TRUE(workers->post(1, [&] { next.set_value(); }));
  next.get_future().get();
  set_log_level(LogLevel::kWarn);
}

TEST(Workers, WorkMayPostMoreAtTheEnd) {
  bool done = false;
  auto workers = start(1);
  Workers* raw = workers.get();
  ASSERT_TRUE(
      workers->post(1, [&done, raw] { ASSERT_TRUE(raw->post(2, [&done] { done = true; })); }));
  workers.reset();
  EXPECT_TRUE(done);
}

TEST(Workers, WhatWorkHoldsEndsOnAWorkerAndOutsideOfTheirLock) {
  auto workers = start(1);
  Workers* raw = workers.get();
  std::promise<bool> on_worker;
  struct Asks {
    Workers* workers;
    std::promise<bool>* told;
    ~Asks() { told->set_value(!may_join() && workers->busy(1)); }
  };
  auto asks = std::shared_ptr<Asks>(new Asks{raw, &on_worker});
  ASSERT_TRUE(workers->post(1, [asks = std::move(asks)] {}));
  EXPECT_TRUE(on_worker.get_future().get());
}

}  // namespace
}  // namespace choir
