// Text that its reader takes, with a node's threads: over a fake engine.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "base/threads.h"
#include "runtime/dispatcher.h"
#include "tests/fake_node.h"
#include "tests/stream_reader.h"

namespace choir {
namespace {

// Told from any thread, waited for by one.
struct News {
  Monitor<int> count{0};
  Callbacks callbacks() {
    return {.on_event = {}, .on_done = {}, .on_settled = {}, .on_news = [this](RequestId) {
              count.change([](int& n) { ++n; });
            }};
  }
  void await() {
    count.wait([](int& n) { return std::exchange(n, 0) > 0; });
  }
};

void read_to_the_end(Reader& reader, News& news) {
  while (!reader.end) {
    news.await();
    reader.take();
  }
  reader.expect_whole(Finish::kLength);
}

// Asks for 400 tokens; returns when the request is parked for its reader.
void ask_and_leave(Runtime& node, News& news, Reader& reader) {
  auto submission = node.submit(request("a", "hello", 400), news.callbacks()).value();
  reader.stream = std::move(submission.stream);
  reader.future = std::move(submission.result);
  news.await();
  while (node.executor("a")->output_tokens < 257 || node.executor("a")->running > 0)
    std::this_thread::yield();
}

TEST(TextStreamThreads, OutlivesTheRequestAndTheNode) {
  News news;
  Reader reader;
  auto node = start();
  ASSERT_TRUE(node->add(executor("a")));
  auto submission = node->submit(request("a", "hello", 100), news.callbacks()).value();
  reader.stream = std::move(submission.stream);
  reader.future = std::move(submission.result);
  ASSERT_TRUE(node->wait_idle());
  node.reset();
  EXPECT_EQ(reader.stream.id(), submission.id);
  EXPECT_EQ(reader.take().tokens.size(), 100U);
  reader.expect_whole(Finish::kLength);
  EXPECT_FALSE(reader.take().end);
}

TEST(TextStreamThreads, MovesWithItsRequest) {
  News news;
  Reader reader;
  NodeConfig config;
  config.stream_bytes_max = 256;
  auto here = start(config);
  const auto there = start(config);
  ASSERT_TRUE(here->add(executor("a")));
  ask_and_leave(*here, news, reader);
  ASSERT_TRUE(here->migrate("a", *there));
  here.reset();
  reader.take();
  read_to_the_end(reader, news);
}

TEST(TextStreamThreads, AResizeTakesItAlong) {
  News news;
  Reader reader;
  NodeConfig config;
  config.stream_bytes_max = 256;
  const auto node = start(config);
  ASSERT_TRUE(node->add(executor("a")));
  ask_and_leave(*node, news, reader);
  ASSERT_TRUE(node->resize("a", 2, 500));
  reader.take();
  read_to_the_end(reader, news);
}

TEST(TextStreamThreads, WhatOnNewsCapturedEndsOnADispatcherBeforeTheFutureIsReady) {
  struct Captured {
    explicit Captured(std::atomic<int>& where) : on_dispatchers(where) {}
    ~Captured() { on_dispatchers += Dispatcher::on_dispatcher_thread() ? 1 : 1000; }
    std::atomic<int>& on_dispatchers;
  };
  std::atomic<int> on_dispatchers{0};
  const auto node = start();
  ASSERT_TRUE(node->add(executor("a")));
  std::vector<Submission> all;
  for (int i = 0; i < 100; ++i) {
    auto one = std::make_shared<Captured>(on_dispatchers);
    Callbacks callbacks;
    callbacks.on_news = [one](RequestId) {};
    one.reset();
    all.push_back(node->submit(request("a", "hello"), std::move(callbacks)).value());
  }
  for (Submission& s : all) EXPECT_EQ(s.result.get().finish, Finish::kLength);
  EXPECT_EQ(on_dispatchers.load(), 100) << "while the streams are there";
}

TEST(TextStreamThreads, OfTwoThatTakeEachHasAPartInOrder) {
  const auto node = start();
  ASSERT_TRUE(node->add(executor("a")));
  for (int round = 0; round < 20; ++round) {
    auto submission =
        node->submit(request("a", "hello", 400),
                     {.on_event = {}, .on_done = {}, .on_settled = {}, .on_news = [](RequestId) {}})
            .value();
    std::atomic<int> ends{0};
    std::vector<std::vector<StreamPiece>> had(2);
    {
      Threads threads;
      for (auto& pieces : had)
        threads.start([&] {
          while (ends.load() == 0) {
            pieces.push_back(submission.stream.take());
            if (pieces.back().end) ++ends;
          }
        });
      threads.join();
    }
    const Completion c = submission.result.get();
    std::size_t bytes = 0;
    std::size_t tokens = 0;
    for (const auto& pieces : had) {
      auto at = c.tokens.begin();
      for (const StreamPiece& piece : pieces) {
        bytes += piece.text.size();
        tokens += piece.tokens.size();
        for (const TokenId token : piece.tokens) {
          at = std::find(at, c.tokens.end(), token);
          ASSERT_NE(at++, c.tokens.end()) << "out of order";
        }
      }
    }
    EXPECT_EQ(ends.load(), 1);
    EXPECT_EQ(bytes, c.text.size());
    EXPECT_EQ(tokens, c.tokens.size());
  }
}

TEST(TextStreamThreads, StreamsAreDroppedWhileTheirRequestsRun) {
  NodeConfig config;
  config.stream_bytes_max = 256;
  const auto node = start(config);
  ASSERT_TRUE(node->add(executor("a")));
  std::vector<std::future<Completion>> futures;
  for (int i = 0; i < 200; ++i) {
    auto submission =
        node->submit(request("a", "hello " + std::to_string(i), 400),
                     {.on_event = {}, .on_done = {}, .on_settled = {}, .on_news = [](RequestId) {}})
            .value();
    for (int t = 0; t < i % 5; ++t) submission.stream.take();
    futures.push_back(std::move(submission.result));
  }
  for (auto& future : futures) EXPECT_EQ(future.get().tokens.size(), 400U);
}

}  // namespace
}  // namespace choir
