// What an engine throws ends the requests that it concerns, with a reason; lanes, other requests
// and other executors go on.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/fake_engine.h"
#include "tests/executor_stage.h"
#include "tests/fake_node.h"
#include "tests/pass_gate.h"

namespace choir {
namespace {

// ---- one executor ----

// A crowd in which an engine is asked for everything: shared fronts, conversations, cells for some
// of them only.
class Crowd {
 public:
  explicit Crowd(bool caught)
      : stage({.cells = 90, .slots = 4, .batch = 32, .park_bytes_max = 1 << 16, .caught = caught}) {
    stage.engine->on_call = [this](std::string_view call) {
      if (++calls != throws_at) return;
      thrown = call;
      throw std::bad_alloc();
    };
  }
  void run() {
    const auto post = [&](std::int32_t front, TokenId mark, std::uint64_t talk) {
      ids.push_back(stage.post(with_front(front, mark), {.max_tokens = 6, .talk = {talk}}));
    };
    for (TokenId i = 0; i < 4; ++i) post(20, i, static_cast<std::uint64_t>(i) % 4);
    for (int i = 0; i < 4; ++i) stage.turn();
    stage.cancel(ids.back());
    for (TokenId i = 0; i < 4; ++i) post(20 + i, i, static_cast<std::uint64_t>(i) * 5);
    stage.turns();
    for (const std::uint64_t talk : {1U, 2U, 5U, 10U}) post(36, 3, talk);
    stage.turns();
  }

  Stage stage;
  std::vector<std::uint64_t> ids;
  int calls = 0;
  int throws_at = 0;
  std::string thrown;  // in which call
};

class EngineThatThrows : public testing::TestWithParam<bool> {};

TEST_P(EngineThatThrows, AtAnyCallEndsRequestsAndTheNextOnesAreRight) {
  Crowd whole(GetParam());
  whole.run();
  ASSERT_GT(whole.calls, 40);
  ASSERT_TRUE(whole.stage.executor->books_balance());
  std::set<std::string> met;
  for (int at = 1; at <= whole.calls; ++at) {
    Crowd crowd(GetParam());
    crowd.throws_at = at;
    crowd.run();
    if (crowd.thrown.empty()) continue;  // other calls were made before it
    met.insert(crowd.thrown);
    SCOPED_TRACE("call " + std::to_string(at) + ", " + crowd.thrown);
    int failed = 0;
    for (const auto id : crowd.ids) {
      const Completion end = crowd.stage.end_of(id);  // and its tokens are its own
      if (end.finish != Finish::kFailed) continue;
      ++failed;
      EXPECT_NE(end.error->message.find("no memory for it"), std::string::npos)
          << end.error->message;
    }
    const bool in_a_pass = crowd.thrown == "run" || crowd.thrown == "attach";
    if (GetParam() && !in_a_pass) {
      EXPECT_EQ(failed, 0) << "cells that are lost are computed again";
    }
    if (in_a_pass) {
      EXPECT_GT(failed, 0);
    }
    EXPECT_TRUE(crowd.stage.executor->books_balance());
    EXPECT_EQ(crowd.stage.ask(with_front(40, 1)).finish, Finish::kLength);
    crowd.stage.ask(with_front(60, 2));
    EXPECT_TRUE(crowd.stage.executor->books_balance());
  }
  for (const char* call : {"attach", "run", "fork", "truncate", "rename", "save", "restore"})
    EXPECT_TRUE(met.contains(call)) << call;
}

INSTANTIATE_TEST_SUITE_P(, EngineThatThrows, testing::Bool(), [](const auto& row) {
  return row.param ? std::string("Caught") : std::string("Bare");
});

TEST(ThrowingEngine, WhoIsNotInThePassGoesOn) {
  Stage stage({.slots = 4, .caught = true});
  const auto first = stage.post(with_front(10, 1), {.max_tokens = 8});
  stage.turn();
  const auto late = stage.post(with_front(300, 2), {.max_tokens = 8, .deadline = {}});
  stage.executor->suspend();
  stage.turn();
  stage.executor->resume();
  stage.cancel(first);
  stage.engine->on_call = [](std::string_view call) {
    if (call == "truncate") throw std::runtime_error("cannot be freed");
  };
  stage.turn();
  stage.engine->on_call = nullptr;
  stage.turns();
  EXPECT_EQ(stage.end_of(first).finish, Finish::kCancelled);
  EXPECT_EQ(stage.end_of(late).finish, Finish::kFailed) << "nothing is computed beside lost cells";
  EXPECT_EQ(stage.ask(with_front(10, 1)).finish, Finish::kLength);
}

// ---- a node ----

// Its engines throw while `throws` says so, those of executor "a" only.
class ThrowingBackend final : public Backend {
 public:
  struct Told {
    std::atomic<const char*> call{nullptr};  // null: none
    std::atomic<bool> pool{false};
    std::atomic<bool> load{false};
  };
  explicit ThrowingBackend(std::shared_ptr<Told> told) : told_(std::move(told)) {
    fake_.on_engine = [this](sim::FakeEngine& engine) {
      if (!of_a_) return;
      engine.on_call = [told = told_](std::string_view call) {
        const char* wanted = told->call.load();
        if (wanted != nullptr && call == wanted) throw std::runtime_error("made to throw");
      };
    };
  }
  Result<ExecutorBytes> measure(const std::string& path, const EngineConfig& config) override {
    return fake_.measure(path, config);
  }
  Result<std::shared_ptr<const Model>> load(const std::string& path,
                                            const LoadProgress& progress) override {
    if (told_->load.load()) throw std::bad_alloc();
    of_a_ = path == "a.gguf" || path == "encoder.gguf";
    return fake_.load(path, progress);
  }
  Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                const EngineConfig& config) override {
    return fake_.create_engine(std::move(model), config);
  }
  std::unique_ptr<Pool> create_pool(std::span<const int> cpus) override {
    if (told_->pool.load()) throw std::system_error(EAGAIN, std::generic_category());
    return fake_.create_pool(cpus);
  }

 private:
  const std::shared_ptr<Told> told_;
  std::atomic<bool> of_a_{false};
  sim::FakeBackend fake_;
};

class ThrowingNode : public testing::Test {
 protected:
  std::shared_ptr<ThrowingBackend::Told> told = std::make_shared<ThrowingBackend::Told>();
  std::shared_ptr<Runtime> runtime =
      *Runtime::create({}, machine_of(2), std::make_unique<ThrowingBackend>(told));
  Completion run(const std::string& name) {
    return runtime->submit(request(name, "a prompt of some words", 8), {}).value().result.get();
  }
};

TEST_F(ThrowingNode, APassThatThrowsFailsItsRequestsAndHarmsNoOther) {
  ASSERT_TRUE(runtime->add(executor("a")));
  ASSERT_TRUE(runtime->add(executor("b")));
  const Completion before = run("a");
  told->call = "run";
  auto neighbour = runtime->submit(request("b", "beside it", 200), {});
  for (int i = 0; i < 5; ++i) {
    const Completion failed = run("a");
    ASSERT_EQ(failed.finish, Finish::kFailed);
    EXPECT_EQ(failed.error->code, Code::kEngineFailed);
    EXPECT_NE(failed.error->message.find("made to throw"), std::string::npos)
        << failed.error->message;
  }
  EXPECT_EQ(neighbour->result.get().finish, Finish::kLength);
  told->call = nullptr;
  EXPECT_EQ(run("a").tokens, before.tokens);
}

TEST_F(ThrowingNode, AnEmbeddingThatThrowsFails) {
  ASSERT_TRUE(runtime->add(executor("encoder")));
  ASSERT_TRUE(runtime->embed("encoder", "some words"));
  told->call = "embed";
  const auto failed = runtime->embed("encoder", "some words");
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("made to throw"), std::string::npos)
      << failed.error().message;
  told->call = nullptr;
  EXPECT_TRUE(runtime->embed("encoder", "some words"));
}

TEST_F(ThrowingNode, WithoutThreadsForALaneRequestsFailUntilThereAreSome) {
  ASSERT_TRUE(runtime->add(executor("b")));
  told->pool = true;
  const Completion failed = run("b");
  ASSERT_EQ(failed.finish, Finish::kFailed);
  EXPECT_EQ(failed.error->code, Code::kUnavailable) << failed.error->message;
  told->pool = false;
  EXPECT_EQ(run("b").finish, Finish::kLength);
}

TEST_F(ThrowingNode, ALoadThatThrowsEndsThoseWhoWaitForIt) {
  ASSERT_TRUE(runtime->declare(executor("a")));
  told->load = true;
  const auto ticket = runtime->begin_load("a");
  ASSERT_TRUE(ticket);
  const Status loaded = ticket->wait(std::chrono::minutes(5));
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kOutOfMemory) << loaded.error().message;
  told->load = false;
  EXPECT_EQ(run("a").finish, Finish::kLength);
}

}  // namespace
}  // namespace choir
