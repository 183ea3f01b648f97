// Requests that come while their executor is loaded, unloaded and moved by other threads, over the
// fake engine: each ends once, and nothing waits for ever.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "tests/fake_node.h"

namespace choir {
namespace {

// enqueue(node, deadline, told) is a Result of a submission, which counts `told` at its end.
template <class Enqueue>
void expect_that_each_ends_once(const std::string& name, const Enqueue& enqueue) {
  using Deadline = std::chrono::milliseconds;
  using Submitted =
      typename std::invoke_result_t<Enqueue, Runtime&, Deadline, std::atomic<int>&>::value_type;
  constexpr unsigned kSeed = 7;
  const auto here = start();
  const auto there = start();
  ASSERT_TRUE(here->declare(executor(name)));
  std::atomic<bool> over{false};
  std::vector<std::thread> changes;
  changes.emplace_back([&] {
    while (!over) {
      (void)here->migrate(name, *there);
      (void)there->migrate(name, *here);
    }
  });
  changes.emplace_back([&] {
    for (int i = 0; !over; ++i) {
      Runtime& node = i % 2 == 0 ? *here : *there;
      (void)node.unload(name);
      auto ticket = node.begin_load(name);
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
      std::vector<Submitted> mine;
      for (int i = 0; i < 300; ++i) {
        Runtime& node = random() % 2 == 0 ? *here : *there;
        const Deadline deadline{random() % 4 == 0 ? 1 : 0};
        auto submission = enqueue(node, deadline, told);
        if (!submission) continue;  // the executor is in the other node
        ++accepted;
        if (random() % 5 == 0) (void)node.cancel(submission->id);
        mine.push_back(std::move(*submission));
      }
      for (Submitted& s : mine) (void)s.result.get();
    });
  for (std::thread& caller : callers) caller.join();
  over = true;
  for (std::thread& change : changes) change.join();
  EXPECT_GT(accepted, 0);
  EXPECT_EQ(told, accepted);
  EXPECT_TRUE(here->requests().empty());
  EXPECT_TRUE(there->requests().empty());
}

TEST(ArrivalsThreads, EachRequestEndsOnceWhereverItsExecutorGoes) {
  expect_that_each_ends_once("a",
                             [](Runtime& node, std::chrono::milliseconds deadline,
                                std::atomic<int>& told) -> Result<Submission> {
                               Request r = request("a", "hello", 3);
                               r.deadline = deadline;
                               Callbacks callbacks;
                               callbacks.on_done = [&told](const Completion&) { ++told; };
                               return node.enqueue(CHOIR_TRY(node.prepare(r)),
                                                   std::move(callbacks));
                             });
}

TEST(ArrivalsThreads, EachRequestToEmbedEndsOnceWhereverItsExecutorGoes) {
  expect_that_each_ends_once(
      "encoder",
      [](Runtime& node, std::chrono::milliseconds deadline,
         std::atomic<int>& told) -> Result<EmbedSubmission> {
        EmbedRequest r{.executor = "encoder", .texts = {"a", "hello"}, .deadline = deadline};
        return node.enqueue_embed(std::move(r),
                                  {.on_done = [&told](const EmbedCompletion&) { ++told; }});
      });
}

TEST(ArrivalsThreads, ANodeEndsWhileRequestsWaitForALoad) {
  for (int i = 0; i < 50; ++i) {
    std::vector<Submission> all;
    std::vector<EmbedSubmission> embeddings;
    {
      const auto node = start();
      ASSERT_TRUE(node->declare(executor("a")));
      ASSERT_TRUE(node->declare(executor("encoder")));
      for (int k = 0; k < 20; ++k) {
        all.push_back(*node->enqueue(*node->prepare(request("a", "hello", 2)), {}));
        embeddings.push_back(*node->enqueue_embed({.executor = "encoder", .texts = {"hello"}}, {}));
      }
    }
    for (Submission& s : all) (void)s.result.get();
    for (EmbedSubmission& s : embeddings) (void)s.result.get();
  }
}

}  // namespace
}  // namespace choir
