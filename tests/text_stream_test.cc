// Text that its reader takes: over a fake engine, in virtual time.
#include "choir/text_stream.h"

#include <gtest/gtest.h>

#include <random>

#include "sim/driven_node.h"
#include "tests/fake_node.h"
#include "tests/stream_reader.h"

namespace choir {
namespace {

// A node in virtual time with one executor, "a".
class Driven {
 public:
  explicit Driven(NodeConfig config, std::int32_t slots = 4)
      : node_(stage_, config, 2, {}), runtime(node_.runtime()) {
    stage_.broken = [](const std::string& what) { ADD_FAILURE() << what; };
    stage_.on_tick = [] {};
    stage_.after_turn = [](Executor&) {};
    EXPECT_TRUE(runtime.add(executor("a", slots)));
  }
  std::unique_ptr<Reader> ask(const Request& request, Continuation how = {}) {
    auto reader = std::make_unique<Reader>();
    auto submission = runtime.submit(request,
                                     {.on_event = {},
                                      .on_done = {},
                                      .on_settled = {},
                                      .on_news =
                                          [r = reader.get()](RequestId) {
                                            ++r->wakes;
                                            EXPECT_EQ(++r->told, 1) << "told twice between takes";
                                          }},
                                     std::move(how));
    EXPECT_TRUE(submission) << submission.error().message;
    reader->stream = std::move(submission->stream);
    reader->future = std::move(submission->result);
    return reader;
  }
  // What the executor does next; false: nothing, until a reader takes or time passes.
  bool step() {
    node_.give_turns();
    node_.deliver();
    return node_.busy() && go_to_next_event();
  }
  void settle() {
    while (step()) {}
  }
  // Whatever is due by itself, however late.
  void let_time_pass() {
    do settle();
    while (go_to_next_event());
  }

 private:
  bool go_to_next_event() {
    const auto next = node_.next_event();
    if (!next) return false;
    stage_.clock.set(std::max(stage_.clock.now(), *next));
    node_.catch_up();
    node_.deliver();
    return true;
  }

  sim::Stage stage_;
  sim::DrivenNode node_;

 public:
  Runtime& runtime;
};

NodeConfig readers_leave(std::uint64_t bytes) {
  NodeConfig config;
  config.stream_bytes_max = bytes;
  config.stalled = std::chrono::hours(1);
  return config;
}

// Readers that take when they are told, some time later, or whenever they like.
void take_at_random(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto up_to = [&](std::uint64_t n) { return random() % n; };
  Driven node(readers_leave(8 + up_to(100)), static_cast<std::int32_t>(1 + up_to(4)));
  std::vector<std::unique_ptr<Reader>> readers;
  std::vector<std::future<Completion>> pushed;
  std::vector<std::string> pushed_text(6);
  for (std::size_t i = 0; i < 6; ++i) {
    Request r =
        request("a", "text " + std::to_string(i), static_cast<std::int32_t>(1 + up_to(150)));
    r.sampling.seed = seed + i;
    if (up_to(3) == 0) r.stop = {"e"};
    readers.push_back(node.ask(r));
    pushed.push_back(node.runtime
                         .submit(r, {.on_event = [&text = pushed_text[i]](
                                                     const StreamEvent& e) { text += e.text; },
                                     .on_done = {}})
                         .value()
                         .result);
  }
  const std::uint64_t pace = 1 + up_to(20);
  for (int i = 0; i < 100'000; ++i) {
    node.step();
    for (std::size_t r = 0; r < readers.size(); ++r) {
      Reader& reader = *readers[r];
      if (reader.end || up_to(pace) != 0) continue;
      const bool waits_for_news = r % 2 == 0;
      if (waits_for_news && reader.told == 0) continue;
      reader.take();
    }
    if (std::ranges::all_of(readers, [](const auto& r) { return r->end.has_value(); })) break;
  }
  for (std::size_t i = 0; i < readers.size(); ++i) {
    ASSERT_TRUE(readers[i]->end) << "reader " << i << " was never told the end";
    const Finish finish = readers[i]->end->finish;
    readers[i]->expect_whole(finish);
    EXPECT_TRUE(finish == Finish::kLength || finish == Finish::kStop);
    node.settle();
    const Completion c = pushed[i].get();
    EXPECT_EQ(readers[i]->text, pushed_text[i]);
    EXPECT_EQ(readers[i]->tokens, c.tokens);
  }
}

TEST(TextStreamProperty, WhatIsTakenIsWhatIsPushed) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    take_at_random(seed);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(TextStream, WakesOnceForEachTurnOfAReaderThatTakesAtOnce) {
  Driven node(readers_leave(1000));
  const auto reader = node.ask(request("a", "hello", 20));
  for (int turn = 1; node.step(); ++turn) {
    EXPECT_EQ(reader->wakes, turn);
    reader->take();
  }
  EXPECT_EQ(reader->wakes, 20);
  reader->expect_whole(Finish::kLength);
}

TEST(TextStream, WakesOnceAReaderThatDoesNotTake) {
  Driven node(readers_leave(1000));
  const auto reader = node.ask(request("a", "hello", 100));
  node.settle();
  EXPECT_EQ(reader->wakes, 1);
  reader->take();
  reader->expect_whole(Finish::kLength);
}

TEST(TextStream, AReaderThatStopsIsParkedAndThenEnded) {
  Driven node(readers_leave(50));
  const auto reader = node.ask(request("a", "hello", 400));
  node.settle();
  EXPECT_EQ(node.runtime.executor("a")->running, 0) << "its cells are free";
  EXPECT_LT(node.runtime.executor("a")->output_tokens, 100U);
  EXPECT_FALSE(reader->has_future());
  node.let_time_pass();
  ASSERT_TRUE(reader->has_future());
  EXPECT_GT(reader->take().text.size(), 50U);
  reader->expect_whole(Finish::kStalled);
}

TEST(TextStream, AReaderThatComesBackGoesOn) {
  Driven node(readers_leave(50));
  const auto reader = node.ask(request("a", "hello", 400));
  for (int i = 0; i < 20 && !reader->end; ++i) {
    node.settle();
    reader->take();
  }
  reader->expect_whole(Finish::kLength);
}

TEST(TextStream, ADroppedOneHoldsNothingUp) {
  Driven node(readers_leave(50));
  const auto reader = node.ask(request("a", "hello", 400));
  reader->stream.close();
  node.settle();
  ASSERT_TRUE(reader->has_future());
  const Completion c = reader->future.get();
  EXPECT_EQ(c.finish, Finish::kLength);
  EXPECT_GT(c.text.size(), 300U);
  EXPECT_EQ(reader->wakes, 0) << "nobody is told any more";
  EXPECT_TRUE(reader->take().text.empty());
}

TEST(TextStream, DroppedWhileItIsParkedTheRequestGoesOn) {
  Driven node(readers_leave(50));
  const auto reader = node.ask(request("a", "hello", 400));
  node.settle();
  ASSERT_EQ(node.runtime.executor("a")->running, 0);
  reader->stream = {};
  node.settle();
  ASSERT_TRUE(reader->has_future());
  EXPECT_EQ(reader->future.get().tokens.size(), 400U);
}

TEST(TextStream, DroppedAfterTheEndItGivesNothing) {
  Driven node(readers_leave(1000));
  const auto reader = node.ask(request("a", "hello", 40));
  node.settle();
  reader->stream.close();
  const StreamPiece piece = reader->take();
  EXPECT_TRUE(piece.text.empty() && piece.tokens.empty() && !piece.end);
  EXPECT_EQ(reader->future.get().tokens.size(), 40U);
}

TEST(TextStream, GivesTheEndWhenItMayBeTold) {
  Driven node(readers_leave(1000));
  std::function<void()> tell;
  Completion stored;
  Continuation how;
  how.before_end = [&](const std::shared_ptr<const Completion>& c, std::function<void()> then) {
    stored = *c;
    tell = std::move(then);
  };
  const auto reader = node.ask(request("a", "hello", 40), std::move(how));
  node.settle();
  EXPECT_EQ(reader->take().tokens.size(), 40U) << "the text does not wait";
  EXPECT_FALSE(reader->end);
  EXPECT_EQ(stored.text, reader->text);
  ASSERT_TRUE(tell);
  tell();
  node.settle();
  EXPECT_EQ(reader->told, 1);
  reader->take();
  reader->expect_whole(Finish::kLength);
}

TEST(TextStream, BothFormsTogetherAreRefused) {
  Driven node(readers_leave(1000));
  const auto refused =
      node.runtime.submit(request("a", "hello"), {.on_event = [](const StreamEvent&) {},
                                                  .on_done = {},
                                                  .on_settled = {},
                                                  .on_news = [](RequestId) {}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
}

TEST(TextStream, OfNoRequestGivesNothing) {
  Driven node(readers_leave(1000));
  auto submission = node.runtime.submit(request("a", "hello"), {});
  EXPECT_FALSE(submission->stream);
  EXPECT_EQ(submission->stream.id(), RequestId{});
  node.settle();
  EXPECT_EQ(submission->result.get().finish, Finish::kLength);
  EXPECT_TRUE(submission->stream.take().text.empty());
}

}  // namespace
}  // namespace choir
