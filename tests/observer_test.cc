// What the observer of a node is told, by whom and until when.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/threads.h"
#include "choir/observer.h"
#include "runtime/dispatcher.h"
#include "tests/driven.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

struct Ended {
  std::string executor;
  std::string tenant;
  Priority priority;
  Finish finish;
  std::optional<Code> error;
  Usage usage;
};
struct Part {
  std::string tenant;
  Priority priority;
  std::int32_t rows;
  bool operator==(const Part&) const = default;
};
void PrintTo(const Part& p, std::ostream* out) {
  *out << p.tenant << " " << to_string(p.priority) << " " << p.rows;
}
struct Step {
  std::string executor;
  StepDone step;  // its views are gone
  std::vector<Part> parts;
};

// Writes everything down.
class Recorder final : public Observer {
 public:
  struct Book {
    std::vector<Ended> ended;
    std::vector<Step> steps;
    std::vector<std::string> executors;  // loads and leavings, in words
    bool all_ends_on_dispatchers = true;
  };
  void on_request_ended(const RequestEnded& r) override {
    book_.with([&](Book& b) {
      b.ended.push_back(
          {std::string(r.executor), std::string(r.tenant), r.priority, r.finish, r.error, r.usage});
      b.all_ends_on_dispatchers = b.all_ends_on_dispatchers && Dispatcher::on_dispatcher_thread();
    });
  }
  void on_step(const StepDone& s) override {
    book_.with([&](Book& b) {
      b.steps.push_back({std::string(s.executor), s, {}});
      for (const StepDone::Part& part : s.parts)
        b.steps.back().parts.push_back({std::string(part.tenant), part.priority, part.rows});
    });
  }
  void on_load(const LoadDone& l) override {
    book_.with([&](Book& b) {
      b.executors.push_back(
          "load " + std::string(l.executor) +
          (l.error != nullptr ? ": " + std::string(to_string(l.error->code)) : ""));
    });
  }
  void on_left(const ExecutorLeft& l) override {
    constexpr std::array<std::string_view, 5> kWhy = {"asked", "evicted", "removed", "moved",
                                                      "unheld"};
    book_.with([&](Book& b) {
      b.executors.push_back("left " + std::string(l.executor) + ": " +
                            std::string(kWhy.at(static_cast<std::size_t>(l.why))));
    });
  }
  Book book() const {
    return book_.with([](const Book& b) { return b; });
  }

 private:
  Guarded<Book> book_;
};

NodeConfig with(std::shared_ptr<Observer> observer) {
  NodeConfig config;
  config.observer = std::move(observer);
  return config;
}

TEST(Observer, IsToldOfEveryStep) {
  const auto recorder = std::make_shared<Recorder>();
  Driven node(with(recorder));
  ASSERT_TRUE(node->add(executor("a")));
  Request high = request("a", "hello", 10);
  high.priority = Priority::kHigh;
  ASSERT_TRUE(node->submit(high, {}));
  ASSERT_TRUE(node->submit(request("a", "hi, and more", 20), {}));
  node.finish();
  const ExecutorInfo info = node->executor("a").value();
  const auto steps = recorder->book().steps;
  ASSERT_EQ(steps.size(), info.steps);
  std::uint64_t prompt = 0;
  std::uint64_t output = 0;
  for (const auto& [executor, step, parts] : steps) {
    EXPECT_EQ(executor, "a");
    prompt += static_cast<std::uint64_t>(step.prompt_tokens);
    output += static_cast<std::uint64_t>(step.output_tokens);
  }
  EXPECT_EQ(prompt, info.prompt_tokens);
  EXPECT_EQ(output, info.output_tokens);
  using Rows = std::array<std::int32_t, 4>;
  EXPECT_EQ(steps.front().step.rows, (Rows{0, 1, 1, 0}));
  EXPECT_EQ(steps.back().step.rows, (Rows{0, 0, 1, 0})) << "the other one has ended";
  EXPECT_DOUBLE_EQ(steps.back().step.seconds, 110e-6) << "a pass and a token of the fake engine";
  EXPECT_EQ(steps.back().step.output_tokens, 1);
}

TEST(Observer, IsToldWhoseSequencesAreInAPass) {
  const auto recorder = std::make_shared<Recorder>();
  Driven node(with(recorder));
  ASSERT_TRUE(node->add(executor("a")));
  // Of one tenant and class: the first and the third, which are no neighbours.
  for (const auto& [tenant, priority] :
       {std::pair("acme", Priority::kNormal), std::pair("zeta", Priority::kNormal),
        std::pair("acme", Priority::kNormal), std::pair("acme", Priority::kLow)}) {
    Request r = request("a", "hello", 4);
    r.tenant = tenant;
    r.priority = priority;
    ASSERT_TRUE(node->submit(r, {}));
  }
  node.finish();
  std::vector<Part> most;
  for (const Step& step : recorder->book().steps) {
    std::int32_t rows = 0;
    for (const Part& part : step.parts) rows += part.rows;
    std::int32_t all = 0;
    for (const std::int32_t count : step.step.rows) all += count;
    EXPECT_EQ(rows, all);
    if (step.parts.size() > most.size()) most = step.parts;
  }
  EXPECT_THAT(most, testing::UnorderedElementsAre(Part{"acme", Priority::kNormal, 2},
                                                  Part{"zeta", Priority::kNormal, 1},
                                                  Part{"acme", Priority::kLow, 1}));
}

TEST(Observer, IsToldOfAPassThatDrawsNothing) {
  const auto recorder = std::make_shared<Recorder>();
  Driven node(with(recorder));
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->submit(request("a", std::string(150, 'x'), 2), {}));
  node.finish();
  const auto steps = recorder->book().steps;
  ASSERT_EQ(steps.size(), 4U);
  EXPECT_EQ(steps[0].step.prompt_tokens, 64);
  EXPECT_EQ(steps[0].step.output_tokens, 0);
  EXPECT_DOUBLE_EQ(steps[0].step.seconds, 740e-6);
  EXPECT_EQ(steps[2].step.prompt_tokens, 22);
  EXPECT_EQ(steps[2].step.output_tokens, 1);
}

TEST(Observer, IsToldOfTheEndWithItsLabels) {
  const auto recorder = std::make_shared<Recorder>();
  Driven node(with(recorder));
  ASSERT_TRUE(node->add(executor("a")));
  Request one = request("a", "hello", 10);
  one.tenant = "school";
  one.priority = Priority::kLow;
  std::size_t told_before_done = 99;
  auto ends = node->submit(one, {.on_event = {},
                                 .on_done =
                                     [&](const Completion&) {
                                       told_before_done = recorder->book().ended.size();
                                     }})
                  .value();
  node.finish();
  EXPECT_EQ(told_before_done, 0U);
  const Completion completion = ends.result.get();
  auto cancelled = node->submit(request("a", "hello", 400), {}).value();
  node.step();
  ASSERT_TRUE(node->cancel(cancelled.id));
  node.finish();
  EXPECT_FALSE(node->submit(request("a", ""), {})) << "which is not told";
  const auto ended = recorder->book().ended;
  ASSERT_EQ(ended.size(), 2U);
  EXPECT_EQ(ended[0].executor, "a");
  EXPECT_EQ(ended[0].tenant, "school");
  EXPECT_EQ(ended[0].priority, Priority::kLow);
  EXPECT_EQ(ended[0].finish, Finish::kLength);
  EXPECT_EQ(ended[0].error, std::nullopt);
  EXPECT_EQ(ended[0].usage, completion.usage);
  EXPECT_EQ(ended[1].finish, Finish::kCancelled);
  EXPECT_EQ(ended[1].error, Code::kCancelled);
}

TEST(Observer, KnowsOfTheEndAndItsStepsWhenTheFutureIsReady) {
  const auto recorder = std::make_shared<Recorder>();
  const auto runtime = start(with(recorder));
  ASSERT_TRUE(runtime->add(executor("a")));
  for (std::size_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(runtime->run(request("a", "hello", 5)));
    const auto book = recorder->book();
    EXPECT_EQ(book.ended.size(), i);
    EXPECT_EQ(book.steps.size(), 5 * i);
    EXPECT_TRUE(book.all_ends_on_dispatchers);
  }
}

TEST(Observer, IsToldOfEmbeddingsAsSteps) {
  const auto recorder = std::make_shared<Recorder>();
  const auto runtime = start(with(recorder));
  ASSERT_TRUE(runtime->add(executor("encoder")));
  ASSERT_TRUE(runtime->embed("encoder", "hello"));
  const auto steps = recorder->book().steps;
  ASSERT_EQ(steps.size(), 1U);
  EXPECT_EQ(steps[0].step.prompt_tokens, 5);
  EXPECT_EQ(steps[0].step.rows, (std::array<std::int32_t, 4>{0, 0, 1, 0}));
}

TEST(Observer, IsToldWhoComesIntoMemoryAndLeavesIt) {
  const auto recorder = std::make_shared<Recorder>();
  const auto there = std::make_shared<Recorder>();
  Driven node(with(recorder));
  Driven other(with(there));
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->unload("a"));
  ASSERT_TRUE(node->unload("a")) << "it is not there: nothing to tell";
  ASSERT_TRUE(node->load("a"));
  ASSERT_TRUE(node->migrate("a", *other));
  ASSERT_TRUE(other->remove("a", Drain::kFinish));
  EXPECT_EQ(recorder->book().executors,
            (std::vector<std::string>{"load a", "left a: asked", "load a", "left a: moved"}));
  EXPECT_EQ(there->book().executors, (std::vector<std::string>{"load a", "left a: removed"}));
}

TEST(Observer, IsToldOfEvictionsAndOfLoadsThatFail) {
  const auto recorder = std::make_shared<Recorder>();
  NodeConfig config = with(recorder);
  sim::FakeBackend sizes;
  const std::uint64_t one =
      sizes.measure("a.gguf", {.context_tokens = 512, .sequences_max = 4, .batch_tokens_max = 64})
          ->total();
  config.memory_bytes_max = one + one / 2;
  Driven node(config);
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->add(executor("b")));
  ExecutorConfig large = executor("c");
  large.context_tokens = 1 << 20;
  ASSERT_FALSE(node->add(large));
  EXPECT_EQ(
      recorder->book().executors,
      (std::vector<std::string>{"load a", "left a: evicted", "load b", "load c: out_of_memory"}));
}

class Thrower final : public Observer {
 public:
  void on_request_ended(const RequestEnded&) override { throw std::runtime_error("ended"); }
  void on_step(const StepDone&) override { throw 7; }
  void on_load(const LoadDone&) override { throw std::runtime_error("load"); }
  void on_left(const ExecutorLeft&) override { throw std::runtime_error("left"); }
};

TEST(Observer, HarmsNobodyByThrowing) {
  const auto runtime = start(with(std::make_shared<Thrower>()));
  ASSERT_TRUE(runtime->add(executor("a")));
  EXPECT_EQ(runtime->run(request("a", "hello"))->finish, Finish::kLength);
  EXPECT_TRUE(runtime->unload("a"));
  EXPECT_EQ(runtime->run(request("a", "hello"))->finish, Finish::kLength);
}

// Tells where it is destroyed.
class Mortal final : public Observer {
 public:
  explicit Mortal(std::promise<bool>& may) : may_(may) {}
  ~Mortal() override { may_.set_value(may_join()); }

 private:
  std::promise<bool>& may_;
};

TEST(Observer, EndsWithItsNodeOnAThreadThatMayJoin) {
  std::promise<bool> may;
  auto runtime = start(with(std::make_shared<Mortal>(may)));
  ASSERT_TRUE(runtime->add(executor("a")));
  auto ended = may.get_future();
  std::promise<void> alone;
  // The last that holds the node is a callback of its own.
  auto holder = std::make_shared<std::shared_ptr<Runtime>>(runtime);
  auto submission = runtime->submit(
      request("a", "hello"),
      {.on_event = {}, .on_done = [holder, left = alone.get_future().share()](const Completion&) {
         left.wait();
         EXPECT_FALSE(may_join());
         holder->reset();
       }});
  holder.reset();
  runtime.reset();
  EXPECT_EQ(ended.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  alone.set_value();
  EXPECT_TRUE(ended.get());
}

}  // namespace
}  // namespace choir
