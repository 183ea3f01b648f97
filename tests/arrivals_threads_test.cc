// Requests that come while their executor is loaded, unloaded and moved by other threads, over the
// fake engine: each ends once, and nothing waits for ever.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "tests/fake_node.h"

namespace choir {
namespace {

TEST(ArrivalsThreads, EachRequestEndsOnceWhereverItsExecutorGoes) {
  constexpr unsigned kSeed = 7;
  const auto here = start();
  const auto there = start();
  ASSERT_TRUE(here->declare(executor("a")));
  std::atomic<bool> over{false};
  std::vector<std::thread> changes;
  changes.emplace_back([&] {
    while (!over) {
      (void)here->migrate("a", *there);
      (void)there->migrate("a", *here);
    }
  });
  changes.emplace_back([&] {
    for (int i = 0; !over; ++i) {
      Runtime& node = i % 2 == 0 ? *here : *there;
      (void)node.unload("a");
      auto ticket = node.begin_load("a");
      if (ticket && i % 3 == 0) ticket->cancel();
      if (ticket) (void)ticket->wait();
    }
  });
  std::vector<std::thread> callers;
  std::atomic<int> accepted{0};
  std::atomic<int> told{0};
  for (unsigned caller = 0; caller < 3; ++caller)
    callers.emplace_back([&, caller] {
      std::mt19937 random(kSeed + caller);
      std::vector<Submission> mine;
      for (int i = 0; i < 300; ++i) {
        Runtime& node = random() % 2 == 0 ? *here : *there;
        Request r = request("a", "hello", 3);
        if (random() % 4 == 0) r.deadline = std::chrono::milliseconds(1);
        const auto prepared = node.prepare(r);
        if (!prepared) continue;  // the executor is in the other node
        Callbacks callbacks;
        callbacks.on_done = [&](const Completion&) { ++told; };
        auto submission = node.enqueue(*prepared, std::move(callbacks));
        if (!submission) continue;
        ++accepted;
        if (random() % 5 == 0) (void)node.cancel(submission->id);
        mine.push_back(std::move(*submission));
      }
      for (Submission& s : mine) (void)s.result.get();
    });
  for (std::thread& caller : callers) caller.join();
  over = true;
  for (std::thread& change : changes) change.join();
  EXPECT_GT(accepted, 0);
  EXPECT_EQ(told, accepted);
  EXPECT_TRUE(here->requests().empty());
  EXPECT_TRUE(there->requests().empty());
}

TEST(ArrivalsThreads, ANodeEndsWhileRequestsWaitForALoad) {
  for (int i = 0; i < 50; ++i) {
    std::vector<Submission> all;
    {
      const auto node = start();
      ASSERT_TRUE(node->declare(executor("a")));
      for (int k = 0; k < 20; ++k)
        all.push_back(*node->enqueue(*node->prepare(request("a", "hello", 2)), {}));
    }
    for (Submission& s : all) (void)s.result.get();
  }
}

}  // namespace
}  // namespace choir
