// POST /choir/v1/parallel with order one_at_a_time, on the fake engine: a job is submitted only
// when the one before has ended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "choir/parallel_evaluation.h"
#include "serve/json_in.h"
#include "serve/parallel_desk.h"
#include "tests/fake_served.h"

namespace choir::serve {
namespace {

using testing::ElementsAre;

constexpr auto kLong = std::chrono::seconds(10);  // what comes takes milliseconds

Json three_jobs(std::vector<std::string> prompts = {"one", "two", "three"}) {
  Json body = {{"raw", true},        {"stream", true},           {"max_tokens", 8},
               {"ignore_eos", true}, {"order", "one_at_a_time"}, {"jobs", Json::array()}};
  for (const std::string& prompt : prompts)
    body["jobs"].push_back({{"model", "writer"}, {"prompt", prompt}});
  return body;
}

// All events of a call but its texts; `look` sees each of them as it comes.
std::vector<Json> events_of(const FakeServed& served, const Json& body,
                            const std::function<void(const Json&)>& look = {}) {
  std::vector<Json> events;
  const auto end = std::chrono::steady_clock::now() + kLong;
  const EventReader reader = {.on_event =
                                  [&](std::string_view text) {
                                    Json event = Json::parse(text);
                                    if (event["type"] == "text") return;
                                    if (look) look(event);
                                    events.push_back(std::move(event));
                                  },
                              .go_on = [&] { return std::chrono::steady_clock::now() < end; }};
  const auto reply = served.stream("/choir/v1/parallel", body.dump(), reader);
  EXPECT_TRUE(reply) << reply.error().message;
  if (reply) {
    EXPECT_EQ(reply->status, 200) << reply->body;
  }
  return events;
}

// "0 length", ...: of the ends, in the order in which they came.
std::vector<std::string> ends_in(const std::vector<Json>& events) {
  std::vector<std::string> ends;
  for (const Json& event : events)
    if (event["type"] == "end")
      ends.push_back(event["job"].dump() + " " + event["finish"].get<std::string>());
  return ends;
}

void stop(const FakeServed& served, const Json& begin, int job) {
  const auto reply = served.ask("DELETE", "/choir/v1/parallel/" + begin["call"].get<std::string>() +
                                              "?job=" + std::to_string(job));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200) << reply->body;
}

// Once there is one; the node has requests for a while only where their model is suspended.
std::size_t requests_there(FakeServed& served) {
  const auto end = std::chrono::steady_clock::now() + kLong;
  while (served.node().requests().empty() && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  return served.node().requests().size();
}

void load_and_suspend(FakeServed& served) {
  ASSERT_TRUE(served.node().load("writer"));
  ASSERT_TRUE(served.node().suspend("writer"));
}

TEST(OneAtATime, EachJobIsSubmittedWhenTheOneBeforeHasEnded) {
  FakeServed served;
  load_and_suspend(served);
  const auto events = events_of(served, three_jobs(), [&](const Json& event) {
    if (event["type"] == "begin") {
      EXPECT_EQ(requests_there(served), 1U);
      stop(served, event, 0);
    }
    if (event["type"] == "end" && event["job"] == 0) {
      EXPECT_EQ(requests_there(served), 1U);
      EXPECT_TRUE(served.node().resume("writer"));
    }
  });
  ASSERT_THAT(ends_in(events), ElementsAre("0 cancelled", "1 length", "2 length"));
  EXPECT_EQ(events.back()["type"], "report");
  EXPECT_EQ(events.back()["report"]["total_tokens"], 16);
}

TEST(OneAtATime, AJobThatIsStoppedBeforeItsTurnIsNeverSubmitted) {
  FakeServed served;
  load_and_suspend(served);
  const auto events = events_of(served, three_jobs(), [&](const Json& event) {
    if (event["type"] == "begin") stop(served, event, 1);
    if (event["type"] == "end" && event["job"] == 1) {
      EXPECT_TRUE(served.node().resume("writer"));
    }
  });
  ASSERT_THAT(ends_in(events), ElementsAre("1 cancelled", "0 length", "2 length"));
  EXPECT_EQ(events[1]["error"]["message"], "cancelled before it was submitted");
  EXPECT_EQ(events.back()["report"]["total_tokens"], 16);
  EXPECT_EQ(served.node().executor("writer")->requests_done, 2U);
}

TEST(OneAtATime, TheNextFollowsOneThatFails) {
  FakeServed served;
  const auto events =
      events_of(served, three_jobs({std::string(2000, 'x'), "two", std::string(2000, 'x')}));
  ASSERT_THAT(ends_in(events), ElementsAre("0 failed", "1 length", "2 failed"));
  EXPECT_EQ(events.back()["report"]["sessions"][2]["error"]["code"], "too_long");
}

TEST(OneAtATime, AClientThatLeavesTakesTheJobsAlongWhoseTurnHasNotCome) {
  FakeServed served;
  load_and_suspend(served);
  std::atomic<bool> begun{false};
  const auto reply = served.stream(
      "/choir/v1/parallel", three_jobs().dump(),
      {.on_event = [&](std::string_view) { begun.store(true); }, .go_on = [&] { return !begun; }});
  EXPECT_FALSE(reply);
  EXPECT_TRUE(served.node().wait_idle(kLong));
  EXPECT_TRUE(served.node().resume("writer"));
  ASSERT_TRUE(served.node().run(request("writer", "later", 4)));
  EXPECT_EQ(served.node().executor("writer")->output_tokens, 4U);
}

TEST(OneAtATime, AJobThatIsAtTheDoorWhenTheClientLeavesDoesNotStay) {
  constexpr int kRounds = 400;
  FakeServed served;
  load_and_suspend(served);
  for (int round = 0; round < kRounds; ++round) {
    const auto desk = std::make_shared<ParallelDesk>(
        served.services(),
        HttpRequest{.method = "POST", .path = "/choir/v1/parallel", .body = three_jobs().dump()},
        [] {});
    desk->begin();
    ParallelDesk::Slot slot;
    while (!slot.submitted && !slot.error) slot = desk->take();
    ASSERT_FALSE(slot.error) << slot.error->message;
    desk->cancel(slot.submitted->submissions);
    desk->submit_job(1);
    // A little later each round: before its step, in the middle of it, and behind it.
    const auto leaves = std::chrono::steady_clock::now() + std::chrono::nanoseconds(50 * round);
    while (std::chrono::steady_clock::now() < leaves) {}
    desk->leave();
  }
  EXPECT_TRUE(served.node().wait_idle(kLong));
}

TEST(OneAtATime, NothingOfBeforeIsFoundInThePrefixCache) {
  FakeServed served;
  const std::string prompt(200, 'x');
  Json body = three_jobs({prompt, prompt});
  body["order"] = "together";
  events_of(served, body);
  EXPECT_GT(events_of(served, body)[1]["usage"]["reused_tokens"], 0);
  body["order"] = "one_at_a_time";
  EXPECT_EQ(events_of(served, body)[1]["usage"]["reused_tokens"], 0);
  EXPECT_EQ(events_of(served, body)[1]["usage"]["reused_tokens"], 0);
}

TEST(OneAtATime, IsComparedWithAReportOfBefore) {
  FakeServed served;
  Json body = three_jobs();
  body["against"] = {{"total_tokens", 24}, {"total_seconds", 0.001}};
  const Json report = events_of(served, body).back();
  const Comparison want =
      compare(report_of(24, 0.001), report_of(24, report["report"]["total_seconds"].get<double>()));
  EXPECT_EQ(report["comparison"], (Json{{"speedup", want.speedup}, {"text", render(want)}}));
}

TEST(OneAtATime, IsTheFirstOfTheTwoWhereTheOthersRunTogether) {
  FakeServed served;
  Json body = three_jobs();
  body["order"] = "together";
  body["stream"] = false;
  body["against"] = {{"total_tokens", 24}, {"total_seconds", 1000.0}};
  const auto reply = served.ask("POST", "/choir/v1/parallel", body.dump());
  ASSERT_TRUE(reply);
  const Json report = Json::parse(reply->body);
  const Comparison want =
      compare(report_of(24, report["total_seconds"].get<double>()), report_of(24, 1000));
  EXPECT_GT(want.speedup, 1);
  EXPECT_EQ(report["comparison"], (Json{{"speedup", want.speedup}, {"text", render(want)}}));
}

}  // namespace
}  // namespace choir::serve
