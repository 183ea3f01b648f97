// The list of models that the daemon keeps: each kind of change shows in the next answer.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "serve/replica_changes.h"
#include "tests/fake_served.h"
#include "tests/real_models.h"

namespace choir::serve {
namespace {

class KeptList : public testing::Test {
 protected:
  KeptList() {
    environment_.set("CHOIR_MODELS", folder_ / "models");
    folder_.write("models/apart.gguf", "a");
  }
  Node& node() { return served().node(); }
  const Services& s() { return served().services(); }
  // After the folder is set.
  FakeServed& served() {
    if (!served_) served_ = std::make_unique<FakeServed>();
    return *served_;
  }
  std::string get(const std::string& path) {
    const auto reply = served().ask("GET", path);
    return reply ? reply->body : reply.error().message;
  }
  Json row(const std::string& name) {
    const Json all = Json::parse(get("/v1/models"));
    for (const Json& row : all["data"])
      if (row["id"] == name) return row;
    return nullptr;
  }
  // Asked so often that it is kept.
  std::string kept(const std::string& path) {
    for (int i = 0; i < 4; ++i) get(path);
    return get(path);
  }
  // Makes a change that both lists are to show at once.
  void expect_shown(const char* what, const std::function<void()>& change) {
    SCOPED_TRACE(what);
    const std::string before = kept("/v1/models");
    const std::string before_too = kept("/models");
    change();
    EXPECT_NE(get("/v1/models"), before);
    EXPECT_NE(get("/models"), before_too);
    expect_fresh();
  }
  // The answer is what would be made now. Nothing may change meanwhile, so it is looked at again.
  void expect_fresh() {
    std::uint64_t changes = 0;
    std::string answer;
    std::string made;
    do {
      changes = s().models.changes();
      answer = get("/v1/models");
      made = to_text(s().models.list().json);
    } while (s().models.changes() != changes);
    EXPECT_EQ(answer, made);
  }
  void wait_until(const std::function<bool(const ExecutorInfo&)>& is_so) {
    while (!is_so(node().executor("writer").value())) std::this_thread::yield();
  }

  const TempFolder folder_;
  Environment environment_;
  std::unique_ptr<FakeServed> served_;
};

TEST_F(KeptList, IsTheSameTextWhileNothingChanges) {
  const std::string first = kept("/v1/models");
  // Another process may mount something meanwhile, which counts, too; but not each time.
  bool quiet = false;
  for (int tries = 0; tries < 20 && !quiet; ++tries) {
    const std::uint64_t changes = s().models.changes();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(get("/v1/models"), first);
    quiet = s().models.changes() == changes;
  }
  EXPECT_TRUE(quiet) << "nothing has changed";
}

TEST_F(KeptList, ShowsWhatBecomesOfAnExecutor) {
  expect_shown("declare", [&] { ASSERT_TRUE(node().declare(executor("new"))); });
  expect_shown("load", [&] { ASSERT_TRUE(node().load("writer")); });
  expect_shown("resize", [&] { ASSERT_TRUE(node().resize("writer", 2, 100)); });
  expect_shown("suspend", [&] { ASSERT_TRUE(node().suspend("writer")); });
  expect_shown("resume", [&] { ASSERT_TRUE(node().resume("writer")); });
  expect_shown("unload", [&] { ASSERT_TRUE(node().unload("writer")); });
  expect_shown("resize of one that is away", [&] { ASSERT_TRUE(node().resize("writer", 2, 120)); });
  expect_shown("add", [&] { ASSERT_TRUE(node().add(executor("added"))); });
  expect_shown("remove", [&] { ASSERT_TRUE(node().remove("added", Drain::kCancel)); });
}

TEST_F(KeptList, IsMadeAgainAfterAnUpdate) {
  kept("/v1/models");
  const std::uint64_t before = s().models.changes();
  ExecutorConfig config = node().executor("writer")->config;
  config.pinned = true;
  ASSERT_TRUE(node().update(config));
  EXPECT_NE(s().models.changes(), before);
}

TEST_F(KeptList, ShowsRequestsThatComeAndEnd) {
  ASSERT_TRUE(node().load("writer"));
  ASSERT_TRUE(node().suspend("writer"));
  Submission waits;
  expect_shown("a request waits", [&] {
    waits = node().submit(request("writer", "hello")).value();
    wait_until([](const ExecutorInfo& e) { return e.waiting == 1; });
  });
  EXPECT_EQ(row("writer")["waiting"], 1);
  expect_shown("it has ended", [&] {
    ASSERT_TRUE(node().resume("writer"));
    waits.result.get();
    wait_until([](const ExecutorInfo& e) { return e.waiting == 0 && e.running == 0; });
    ASSERT_TRUE(node().suspend("writer"));  // it is as it was, so the lists may be the same
  });
  EXPECT_EQ(row("writer")["waiting"], 0);
}

TEST_F(KeptList, ShowsARequestThatRuns) {
  ASSERT_TRUE(node().load("writer"));
  ASSERT_TRUE(node().resize("writer", 1, 50'000));  // it runs for seconds
  std::latch begun(1);
  Submission runs;
  expect_shown("a request runs", [&] {
    Callbacks callbacks;
    callbacks.on_event = [&, first = true](const StreamEvent&) mutable {
      if (std::exchange(first, false)) begun.count_down();
    };
    runs = node().submit(request("writer", "hello", 40'000), std::move(callbacks)).value();
    begun.wait();
    ASSERT_TRUE(node().suspend("writer"));
  });
  EXPECT_EQ(row("writer")["running"], 1);
  ASSERT_TRUE(node().cancel(runs.id));
  runs.result.get();
  wait_until([](const ExecutorInfo& e) { return e.running == 0; });
  EXPECT_EQ(row("writer")["running"], 0);
}

TEST_F(KeptList, ShowsRequestsThatWaitForTheirModel) {
  ASSERT_TRUE(node().suspend("writer"));
  Submission waits;
  expect_shown("a request waits for its model", [&] {
    waits = node().enqueue(node().prepare(request("writer", "hello")).value(), {}).value();
    // Its executor has taken it: nothing changes any more.
    wait_until([&](const ExecutorInfo& e) {
      const auto all = node().requests();
      return e.waiting == 1 && all.size() == 1 && all[0].phase == RequestPhase::kSuspended;
    });
  });
  expect_shown("it is cancelled", [&] {
    ASSERT_TRUE(node().cancel(waits.id));
    waits.result.get();
    wait_until([](const ExecutorInfo& e) { return e.waiting == 0; });
  });
}

TEST_F(KeptList, ShowsReplicas) {
  expect_shown("two replicas", [&] { ASSERT_TRUE(set_replicas(s(), "writer", 2)); });
  expect_shown("three replicas", [&] { ASSERT_TRUE(set_replicas(s(), "writer", 3)); });
  expect_shown("one of them is loaded", [&] { ASSERT_TRUE(node().load("writer@3")); });
  expect_shown("one replica", [&] { ASSERT_TRUE(set_replicas(s(), "writer", 1)); });
  expect_shown("none", [&] { ASSERT_TRUE(remove_all(s(), "writer", Requests::kRefuse)); });
}

TEST_F(KeptList, ShowsNamesThatTheConfigurationGives) {
  expect_shown("a model with an alias", [&] {
    ASSERT_TRUE(
        s().models.declare({.name = "tiny", .model = stories(), .aliases = {"small", "little"}}));
  });
  EXPECT_EQ(row("tiny")["aliases"], Json({"little", "small"}));
  expect_shown("it is forgotten", [&] {
    ASSERT_TRUE(node().remove("tiny", Drain::kCancel));
    s().models.forget("tiny");
  });
}

TEST_F(KeptList, ShowsTheModelsFolder) {
  expect_shown("a file comes", [&] { folder_.write("models/b.gguf", "b"); });
  expect_shown("a file grows", [&] { folder_.write("models/b.gguf", "longer"); });
  expect_shown("a file goes", [&] { std::filesystem::remove(folder_ / "models/b.gguf"); });
}

TEST_F(KeptList, ShowsALoadThatFailed) {
  ExecutorConfig config = executor("lost");
  config.path = "missing";
  ASSERT_TRUE(node().declare(config));
  kept("/models");
  ASSERT_TRUE(served().ask("POST", "/models/load", R"({"model":"lost"})"));
  while (node().executor("lost")->loading) std::this_thread::yield();
  for (std::string all = get("/models"); all.find(R"("failed":true)") == std::string::npos;
       all = get("/models"))
    std::this_thread::yield();  // the load is told to end a moment after it is not shown any more
}

TEST_F(KeptList, HealthShowsTheDoorOfTheNode) {
  EXPECT_EQ(kept("/health"), R"({"status":"ok"})");
  node().close_door();
  EXPECT_EQ(get("/health"), R"({"status":"draining"})");
  EXPECT_EQ(get("/livez"), R"({"status":"draining"})");
}

}  // namespace
}  // namespace choir::serve
