// Turns of conversations whose executor is not in memory: they wait as requests of the node, and
// whatever happens to them meanwhile, histories and KV state are as if it had not.
#include <gmock/gmock.h>

#include <future>
#include <latch>
#include <new>
#include <thread>

#include "base/patience.h"
#include "tests/driven.h"
#include "tests/facade_world.h"
#include "tests/talks.h"

namespace choir {
namespace {

using parallel::HookedBackend;
using parallel::Hooks;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class WaitingTalks : public Talks {
 protected:
  ~WaitingTalks() override {
    go_on();
    end();
  }
  std::shared_ptr<Runtime> make_node() override {
    return *Runtime::create({}, machine_of(2), std::make_unique<HookedBackend>(hooks_));
  }
  // "a" leaves memory, and a load of it waits for go_on().
  void make_cold() {
    ASSERT_TRUE(node_->unload("a"));
    loads_.with([](Loads& l) { l = {.held = true}; });
    hooks_->set(Hooks::kLoad, [this](const std::string& path) {
      if (path != "a.gguf") return;
      loads_.change([](Loads& l) { ++l.begun; });
      loads_.wait([](const Loads& l) { return !l.held; });
    });
  }
  void wait_until_it_loads() {
    loads_.wait([](const Loads& l) { return l.begun > 0; });
  }
  void go_on() {
    loads_.change([](Loads& l) { l.held = false; });
  }
  int loads() {
    return loads_.with([](const Loads& l) { return l.begun; });
  }
  Submission turn(const std::string& id, const std::string& text, Callbacks callbacks = {}) {
    auto submission = begin_turn(id, text, std::move(callbacks));
    EXPECT_TRUE(submission) << submission.error().message;
    return std::move(*submission);
  }
  bool is_free(const std::string& id) { return talks_->update(*talks_->get("a", id)).has_value(); }

 private:
  struct Loads {
    bool held = false;
    int begun = 0;
  };
  const std::shared_ptr<Hooks> hooks_ = std::make_shared<Hooks>();
  Monitor<Loads> loads_;
};

TEST_F(WaitingTalks, AreRequestsThatWaitForTheLoad) {
  attach();
  create("c");
  make_cold();
  Submission one = turn("c", "One");
  Submission two = turn("c", "Two");
  wait_until_it_loads();
  const auto seen = node_->requests();
  ASSERT_THAT(seen, SizeIs(2));
  for (const RequestInfo& info : seen) {
    EXPECT_EQ(info.phase, RequestPhase::kLoading);
    EXPECT_EQ(info.waits_for, WaitsFor::kLoad);
  }
  EXPECT_THAT(texts("c"), IsEmpty());
  EXPECT_FALSE(is_free("c")) << "a turn is in it";
  go_on();
  EXPECT_EQ(one.result.get().finish, Finish::kLength);
  EXPECT_EQ(two.result.get().finish, Finish::kLength);
  EXPECT_THAT(texts("c"), SizeIs(4));
  EXPECT_EQ(loads(), 1);
}

TEST_F(WaitingTalks, AnswerAsIfTheModelHadBeenThere) {
  attach();
  std::vector<std::vector<std::string>> histories;
  for (const char* id : {"warm", "cold"}) {
    create(id);
    say(id, "Once");
    if (id == std::string("cold")) make_cold();
    std::vector<Submission> turns;
    for (int i = 0; i < 8; ++i) turns.push_back(turn(id, std::to_string(i)));
    go_on();
    for (Submission& t : turns) EXPECT_EQ(t.result.get().finish, Finish::kLength);
    histories.push_back(texts(id));
  }
  EXPECT_THAT(histories[0], SizeIs(18));
  EXPECT_EQ(histories[0], histories[1]);
}

TEST_F(WaitingTalks, GoOnFromTheKvStateThatTheExecutorLeft) {
  for (const bool stored : {true, false}) {
    ASSERT_TRUE(talks_->attach("a", stored ? folder_ / "store" : ""));
    create("c");
    say("c", "Once upon a time");
    make_cold();
    Submission next = turn("c", "And then");
    go_on();
    EXPECT_GT(next.result.get().usage.reused_tokens, 16) << stored;
    talks_->detach("a");
  }
}

TEST_F(WaitingTalks, HoldNoDispatcher) {
  ASSERT_TRUE(talks_->attach("a", ""));
  ASSERT_TRUE(node_->add(executor("b")));
  make_cold();
  std::vector<std::future<Result<Submission>>> inside;
  std::vector<Submission> outside;
  for (const char* id : {"c", "d", "e"}) {
    create(id);
    auto asked = std::make_shared<std::promise<Result<Submission>>>();
    inside.push_back(asked->get_future());
    outside.push_back(*node_->submit(request("b", "hello", 2),
                                     {.on_event = {}, .on_done = [this, id, asked](const auto&) {
                                        asked->set_value(begin_turn(id, "Once"));
                                      }}));
  }
  for (Submission& s : outside) EXPECT_EQ(s.result.get().finish, Finish::kLength);
  wait_until_it_loads();
  go_on();
  for (auto& future : inside) {
    auto submission = future.get();
    ASSERT_TRUE(submission) << submission.error().message;
    EXPECT_EQ(submission->result.get().finish, Finish::kLength);
  }
}

TEST_F(WaitingTalks, AreCancelledWithoutTheLoad) {
  attach();
  create("c");
  make_cold();
  std::vector<Submission> turns;
  for (const char* text : {"First", "Second", "Third"}) turns.push_back(turn("c", text));
  for (const std::size_t i : {0U, 2U}) {
    ASSERT_TRUE(node_->cancel(turns[i].id));
    EXPECT_EQ(turns[i].result.get().finish, Finish::kCancelled);
  }
  EXPECT_FALSE(is_free("c")) << "the second one waits";
  go_on();
  EXPECT_EQ(turns[1].result.get().finish, Finish::kLength);
  ASSERT_THAT(texts("c"), SizeIs(2));
  EXPECT_EQ(texts("c")[0], "Second");
  EXPECT_TRUE(is_free("c"));
}

TEST_F(WaitingTalks, EndWhenTheyAreLateWithoutTheLoad) {
  attach();
  create("c");
  make_cold();
  Request hurried = request("a", "Late", 8);
  hurried.deadline = std::chrono::milliseconds(1);
  auto late = *talks_->say(*node_, "c", {.request = hurried, .system = {}}, {});
  Submission next = turn("c", "Then");
  EXPECT_EQ(late.result.get().finish, Finish::kDeadline);
  go_on();
  EXPECT_EQ(next.result.get().finish, Finish::kLength);
  EXPECT_EQ(texts("c").front(), "Then");
}

TEST_F(WaitingTalks, EndWithTheirConversation) {
  attach();
  create("c");
  make_cold();
  Submission one = turn("c", "One");
  Submission two = turn("c", "Two");
  ASSERT_TRUE(talks_->erase("a", "c"));
  for (Submission* s : {&one, &two}) {
    const Completion end = s->result.get();
    EXPECT_EQ(end.finish, Finish::kFailed);
    EXPECT_EQ(end.error->code, Code::kCancelled);
    EXPECT_THAT(end.error->message, HasSubstr("'c' was deleted"));
  }
  create("c");
  Submission fresh = turn("c", "New");
  go_on();
  EXPECT_EQ(fresh.result.get().finish, Finish::kLength);
  EXPECT_THAT(texts("c"), SizeIs(2));
  EXPECT_EQ(texts("c")[0], "New");
}

TEST_F(WaitingTalks, EndWithTheirExecutorAndLeaveItsFolderFree) {
  attach();
  create("c");
  say("c", "Once");
  make_cold();
  Submission one = turn("c", "One");
  Submission two = turn("c", "Two");
  wait_until_it_loads();
  std::thread removes([&] {
    EXPECT_TRUE(node_->remove("a", Drain::kCancel));
    talks_->detach("a");
  });
  EXPECT_EQ(one.result.get().finish, Finish::kCancelled);
  EXPECT_EQ(two.result.get().finish, Finish::kCancelled);
  go_on();  // the removal waits for what is being loaded
  removes.join();
  EXPECT_TRUE(ConversationStore::open(folder_ / "store")) << "nobody uses it";
  ASSERT_TRUE(node_->add(executor("a")));
  attach();
  EXPECT_THAT(texts("c"), SizeIs(2)) << "what was there before";
  EXPECT_EQ(say("c", "Then").finish, Finish::kLength);
}

TEST_F(WaitingTalks, EndWithTheirNode) {
  attach();
  create("c");
  make_cold();
  Submission one = turn("c", "One");
  Submission two = turn("c", "Two");
  node_->shutdown(Drain::kCancel);
  EXPECT_EQ(one.result.get().finish, Finish::kCancelled);
  EXPECT_EQ(two.result.get().finish, Finish::kCancelled);
  go_on();
  end();
  begin({});
  attach();
  EXPECT_THAT(texts("c"), IsEmpty());
}

TEST_F(WaitingTalks, AreAnsweredBeforeANodeThatFinishesEnds) {
  attach();
  create("c");
  make_cold();
  Submission one = turn("c", "One");
  Submission two = turn("c", "Two");
  wait_until_it_loads();
  std::thread ends([&] { node_->shutdown(Drain::kFinish); });
  go_on();
  EXPECT_EQ(one.result.get().finish, Finish::kLength);
  EXPECT_EQ(two.result.get().finish, Finish::kLength);
  ends.join();
  EXPECT_THAT(texts("c"), SizeIs(4));
}

TEST_F(WaitingTalks, EndWithTheLoadThatFails) {
  ExecutorConfig missing = executor("b");
  missing.path = "missing";
  ASSERT_TRUE(node_->declare(missing));
  ASSERT_TRUE(talks_->attach("b", folder_ / "store"));
  ASSERT_TRUE(talks_->create(record("b", "c")));
  const auto begin_in_b = [&](const char* text) {
    return *talks_->say(*node_, "c", {.request = request("b", text, 8), .system = {}}, {});
  };
  Submission one = begin_in_b("One");
  Submission two = begin_in_b("Two");
  for (Submission* s : {&one, &two}) {
    const Completion end = s->result.get();
    EXPECT_EQ(end.finish, Finish::kFailed);
    EXPECT_EQ(end.error->code, Code::kNotFound) << "of the file";
  }
  const auto left = talks_->get("b", "c");
  EXPECT_THAT(left->history, IsEmpty());
  EXPECT_TRUE(talks_->update(*left)) << "nothing runs in it any more";
}

TEST_F(WaitingTalks, WhosePromptCannotBeMadeLetTheNextOneRun) {
  attach();
  create("c");
  make_cold();
  Submission bad = turn("c", std::string(600, 'x'));
  Submission good = turn("c", "Good");
  go_on();
  const Completion end = bad.result.get();
  EXPECT_EQ(end.finish, Finish::kFailed);
  EXPECT_EQ(end.error->code, Code::kTooLong);
  EXPECT_EQ(good.result.get().finish, Finish::kLength);
  EXPECT_EQ(texts("c")[0], "Good");
}

TEST_F(WaitingTalks, OfOneThatIsNotMaintainedWaitForNoOther) {
  attach();
  ConversationRecord fixed = record("a", "c");
  fixed.history = {{"user", "Hello"}, {"assistant", "Hi"}};
  fixed.maintain = false;
  ASSERT_TRUE(talks_->create(fixed));
  make_cold();
  Submission one = turn("c", "Same");
  Submission two = turn("c", "Same");
  go_on();
  EXPECT_EQ(one.result.get().tokens, two.result.get().tokens);
  EXPECT_THAT(texts("c"), ElementsAre("Hello", "Hi"));
}

// ---- in virtual time, where the executor can move before its load has begun

class MovingTalks : public testing::Test {
 protected:
  // Everybody works until it is there; ends of turns are stored by threads of the conversations.
  Completion end_of(Submission& submission) {
    while (submission.result.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
      for (Driven* node : {&here_, &there_}) {
        (*node)->parts().background.run_here();
        node->step();
        std::this_thread::yield();
      }
    return submission.result.get();
  }

  const std::unique_ptr<Conversations> talks_ = Conversations::start().value();
  Driven here_;
  Driven there_;
};

TEST_F(MovingTalks, GoAlongWithTheirExecutor) {
  for (Driven* node : {&here_, &there_}) talks_->serve(**node);
  ASSERT_TRUE(here_->declare(executor("a")));
  ASSERT_TRUE(talks_->attach("a", ""));
  ASSERT_TRUE(talks_->create(record("a", "c")));
  std::vector<Submission> turns;
  for (const char* text : {"One", "Two", "Three"})
    turns.push_back(
        *talks_->say(*here_, "c", {.request = request("a", text, 8), .system = {}}, {}));
  ASSERT_TRUE(here_.waiting(
      [&] { return here_->migrate("a", *there_, [&] { talks_->moved("a", *there_); }); }));
  EXPECT_TRUE(here_->requests().empty());
  EXPECT_THAT(there_->requests(), SizeIs(3));
  ASSERT_TRUE(here_->cancel(turns[1].id));
  EXPECT_EQ(end_of(turns[1]).finish, Finish::kCancelled);
  EXPECT_EQ(end_of(turns[0]).finish, Finish::kLength);
  EXPECT_EQ(end_of(turns[2]).finish, Finish::kLength);
  const auto history = talks_->get("a", "c")->history;
  ASSERT_THAT(history, SizeIs(4));
  EXPECT_EQ(history[0].content, "One");
  EXPECT_EQ(history[2].content, "Three");
}

}  // namespace
}  // namespace choir
