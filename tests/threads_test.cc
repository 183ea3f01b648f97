#include "base/threads.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <stdexcept>
#include <thread>

namespace choir {
namespace {

// Owns a thread, and says on which kind of thread it ends.
struct Owner {
  explicit Owner(std::promise<bool>& may_join_there) : told(may_join_there) {
    threads.start([] {});
  }
  ~Owner() {
    threads.join();
    told.set_value(may_join());
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  std::promise<bool>& told;
  Threads threads;
};

std::shared_ptr<Owner> owner(std::promise<bool>& told) {
  return {new Owner(told), delete_where_it_may_join<Owner>};
}

TEST(Threads, OnlyThoseOfOursMayNotJoin) {
  EXPECT_TRUE(may_join());
  std::promise<bool> ours;
  Threads threads;
  threads.start([&] { ours.set_value(may_join()); });
  EXPECT_FALSE(ours.get_future().get());
}

TEST(Threads, WhatIsThrownOnOneEndsOnlyThatOne) {
  std::atomic<bool> done{false};
  Threads threads;
  threads.start([] { throw std::runtime_error("a word"); });
  threads.start([&] { done = true; });
  threads.join();
  EXPECT_TRUE(done);
}

TEST(Threads, JoinWaitsForAll) {
  std::atomic<int> done{0};
  Threads threads;
  for (int i = 0; i < 8; ++i) threads.start([&] { ++done; });
  threads.join();
  EXPECT_EQ(done, 8);
}

TEST(Threads, WhatAThreadHoldsEndsOnIt) {
  struct Held {
    std::promise<std::thread::id>* ended;
    ~Held() { ended->set_value(std::this_thread::get_id()); }
  };
  std::promise<std::thread::id> ended;
  std::promise<std::thread::id> ran;
  Threads threads;
  threads.start([&ran, held = std::shared_ptr<Held>(new Held{&ended})] {
    ran.set_value(std::this_thread::get_id());
  });
  EXPECT_EQ(ended.get_future().get(), ran.get_future().get());
}

TEST(Threads, WhatJoinsEndsHereWhereThisThreadMayJoin) {
  std::promise<bool> told;
  auto future = told.get_future();
  owner(told).reset();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_TRUE(future.get());
}

TEST(Threads, WhatJoinsEndsElsewhereWhenAThreadOfOursLetsGoOfIt) {
  std::promise<bool> told;
  Threads threads;
  threads.start([one = owner(told)]() mutable { one.reset(); });
  EXPECT_TRUE(told.get_future().get());
}

}  // namespace
}  // namespace choir
