// Active requests as Node::requests() and Node::place() show them, in virtual time.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/driven.h"
#include "tests/fake_node.h"
#include "tests/pass_gate.h"

namespace choir {
namespace {

RequestInfo seen(Driven& node, RequestId id) {
  const auto all = node->requests();
  const auto found = std::ranges::find(all, id, &RequestInfo::id);
  EXPECT_NE(found, all.end()) << "it is not active";
  return found == all.end() ? RequestInfo{} : *found;
}

void expect_sight(Driven& node, RequestId id, RequestPhase phase, WaitsFor waits_for) {
  const RequestInfo info = seen(node, id);
  EXPECT_EQ(to_string(info.phase), to_string(phase));
  EXPECT_EQ(to_string(info.waits_for), to_string(waits_for));
}

RequestId submit(Driven& node, const Request& request) {
  return node->submit(request, {}).value().id;
}

const std::string kLong(150, 'x');  // more than two passes of 64 tokens

TEST(Requests, AreThoseThatHaveNotEndedById) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->add(executor("b")));
  EXPECT_TRUE(node->requests().empty());
  Request one = request("b", "hello", 300);
  one.tenant = "school";
  one.priority = Priority::kHigh;
  const RequestId first = submit(node, one);
  const RequestId second = submit(node, request("a", "hi", 2));
  node.clock().advance(std::chrono::seconds(2));
  const auto all = node->requests();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].id, first);
  EXPECT_EQ(all[0].executor, "b");
  EXPECT_EQ(all[0].tenant, "school");
  EXPECT_EQ(all[0].priority, Priority::kHigh);
  EXPECT_EQ(all[0].prompt_tokens, 5);
  EXPECT_EQ(all[0].prompt_tokens_done, 0);
  EXPECT_EQ(all[0].output_tokens, 0);
  EXPECT_EQ(all[0].max_tokens, 300);
  EXPECT_DOUBLE_EQ(all[0].age_seconds, 2.0);
  EXPECT_EQ(all[1].id, second);
  node.finish();
  EXPECT_TRUE(node->requests().empty());
}

TEST(Requests, AreSeenFromTheWaitToTheLastToken) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a", 1)));
  const RequestId id = submit(node, request("a", kLong, 3));
  const RequestId next = submit(node, request("a", "next", 3));
  expect_sight(node, id, RequestPhase::kWaiting, WaitsFor::kTurn);
  node.step();
  expect_sight(node, id, RequestPhase::kPrefill, WaitsFor::kNothing);
  EXPECT_EQ(seen(node, id).prompt_tokens_done, 64);
  expect_sight(node, next, RequestPhase::kWaiting, WaitsFor::kSlot);
  node.step();
  node.step();
  expect_sight(node, id, RequestPhase::kDecode, WaitsFor::kNothing);
  EXPECT_EQ(seen(node, id).prompt_tokens_done, 150);
  EXPECT_EQ(seen(node, id).output_tokens, 1);
  node.step();
  EXPECT_EQ(seen(node, id).output_tokens, 2);
  node.step_undelivered();
  expect_sight(node, id, RequestPhase::kEnding, WaitsFor::kNothing);
  EXPECT_EQ(seen(node, id).output_tokens, 3);
  node.finish();
}

TEST(Requests, TellWhenTheyBeganAndHadTheirFirstToken) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  Submission submission = node->submit(request("a", kLong, 3), {}).value();
  node.clock().advance(std::chrono::seconds(2));
  EXPECT_EQ(seen(node, submission.id).queue_seconds, std::nullopt);
  node.step();
  EXPECT_DOUBLE_EQ(seen(node, submission.id).queue_seconds.value(), 2.0);
  EXPECT_EQ(seen(node, submission.id).first_token_seconds, std::nullopt);
  EXPECT_EQ(seen(node, submission.id).held_seconds, 0) << "its executor was there";
  node.step();
  node.step();
  const double first = seen(node, submission.id).first_token_seconds.value();
  EXPECT_GT(first, 2.0);
  node.finish();
  const Usage usage = submission.result.get().usage;
  EXPECT_DOUBLE_EQ(usage.queue_seconds, 2.0);
  EXPECT_DOUBLE_EQ(usage.first_token_seconds, first);
  EXPECT_EQ(usage.parked_seconds, 0);
}

TEST(Requests, TellHowMuchOfTheirPromptWasThereBefore) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  submit(node, request("a", kLong, 3));
  node.finish();
  const RequestId again = submit(node, request("a", kLong, 300));
  node.step();
  node.step();
  EXPECT_GT(seen(node, again).reused_tokens, 100);
  node.finish();
}

TEST(Requests, ThatEndBeforeTheyBeginHaveWaitedTheWholeTime) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a", 1)));
  submit(node, request("a", "hello", 3));
  Submission late = node->submit(request("a", "late", 3), {}).value();
  node.step();
  node.clock().advance(std::chrono::seconds(5));
  ASSERT_TRUE(node->cancel(late.id));
  node.finish();
  const Usage usage = late.result.get().usage;
  EXPECT_GE(usage.queue_seconds, 5.0);
  EXPECT_EQ(usage.queue_seconds, usage.total_seconds);
}

TEST(Requests, OfASuspendedExecutorWaitForResume) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  const RequestId id = submit(node, request("a", "hello", 300));
  node.step();
  ASSERT_TRUE(node.waiting([&] { return node->suspend("a"); }));
  expect_sight(node, id, RequestPhase::kSuspended, WaitsFor::kResume);
  EXPECT_EQ(node->place(id)->seconds, 0.0) << "it has begun";
  const RequestId new_one = submit(node, request("a", "new"));
  EXPECT_EQ(node->place(new_one)->seconds, std::nullopt);
  ASSERT_TRUE(node->resume("a"));
  node.step();
  expect_sight(node, id, RequestPhase::kDecode, WaitsFor::kNothing);
  node.finish();
}

TEST(Requests, WhoseReaderIsSlowStandStill) {
  NodeConfig config;
  config.stream_bytes_max = 256;
  Driven node(config);
  ASSERT_TRUE(node->add(executor("a")));
  const RequestId id = node->submit(request("a", "hello", 500),
                                    {.on_event = [](const StreamEvent&) {}, .on_done = {}})
                           .value()
                           .id;
  for (int i = 0; i < 400 && seen(node, id).phase != RequestPhase::kReaderBehind; ++i)
    node.step_undelivered();
  expect_sight(node, id, RequestPhase::kReaderBehind, WaitsFor::kReader);
  node.finish();
}

TEST(Requests, ThatLostTheirCellsAreParked) {
  Driven node;
  ExecutorConfig config = executor("a");
  config.context_tokens = 100;
  config.prefix_cache = false;
  ASSERT_TRUE(node->add(config));
  std::vector<Submission> submissions;
  for (const char* text : {"one", "two", "three"})
    submissions.push_back(node->submit(request("a", text, 60), {}).value());
  std::map<RequestId, std::int32_t> output;
  bool parked = false;
  bool again = false;
  while (node.step())
    for (const RequestInfo& info : node->requests()) {
      if (info.phase == RequestPhase::kParked) {
        parked = true;
        EXPECT_EQ(info.waits_for, WaitsFor::kCells);
        EXPECT_EQ(node->place(info.id).value(), (QueuePlace{.ahead = 0, .seconds = 0.0}));
      }
      again = again || (parked && info.phase == RequestPhase::kDecode);
      EXPECT_GE(info.output_tokens, output[info.id]) << "tokens are never taken back";
      output[info.id] = info.output_tokens;
    }
  EXPECT_TRUE(parked);
  EXPECT_TRUE(again);
  std::vector<double> times;
  for (Submission& submission : submissions) {
    const Usage usage = submission.result.get().usage;
    EXPECT_LT(usage.queue_seconds + usage.parked_seconds, usage.total_seconds);
    times.push_back(usage.parked_seconds);
  }
  EXPECT_EQ(std::ranges::min(times), 0) << "one had its cells to its end";
  EXPECT_GT(std::ranges::max(times), 0);
}

TEST(Requests, BehindAnotherOneUnderThePolicyOfOneRequest) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->add(executor("b")));
  ASSERT_TRUE(node->set_policy(ExecutionPolicy::kSequential));
  submit(node, request("a", "hello", 100));
  const RequestId second = submit(node, request("b", "hello", 100));
  node.step();
  expect_sight(node, second, RequestPhase::kWaiting, WaitsFor::kOtherRequest);
  const RequestId third = submit(node, request("a", "hello", 100));
  EXPECT_EQ(node->place(third)->ahead, 1) << "the executor does not matter";
  node.finish();
}

TEST(Requests, ThatWaitForOthersSaySo) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a")));
  const RequestId gated = node->submit(request("a", "hello"), {}, {}, Gated::kYes).value().id;
  const RequestId turn =
      node->enqueue(*node->prepare(request("a", "later"), Runtime::Prompt::kLater), {}, {},
                    {.open = {}, .awaited = true})
          .value()
          .id;
  node.step();
  expect_sight(node, gated, RequestPhase::kWaiting, WaitsFor::kCompany);
  expect_sight(node, turn, RequestPhase::kWaiting, WaitsFor::kEarlierTurn);
  EXPECT_EQ(seen(node, turn).prompt_tokens, 0);
  EXPECT_EQ(node->place(turn)->seconds, std::nullopt);
  EXPECT_EQ(node->place(gated)->seconds, std::nullopt);
  const RequestId plain = submit(node, request("a", "hello"));
  EXPECT_EQ(node->place(plain)->ahead, 0) << "those are not ahead of it";
  node->open(turn, [](const Executor&) -> Result<Opening> {
    return Opening{.tokens = {1, 2, 3}, .kv = {}};
  });
  node->parts().background.run_here();
  node.step();
  EXPECT_EQ(seen(node, turn).prompt_tokens, 3);
  node->open_gate({gated});
  node.finish();
}

TEST(Requests, AreSeenWhileAPassRunsAndWhileAModelLoads) {
  const auto gate = std::make_shared<PassGate>();
  const auto runtime = *Runtime::create({}, machine_of(1), std::make_unique<GatedBackend>(gate));
  ASSERT_TRUE(runtime->add(executor("a")));
  gate->close();
  auto submission = *runtime->submit(request("a", "hello"), {});
  gate->await_pass();
  EXPECT_EQ(runtime->requests().size(), 1U);
  EXPECT_TRUE(runtime->place(submission.id));
  std::thread load([&] { (void)runtime->add(executor("b")); });  // which warms up in a pass
  EXPECT_EQ(runtime->requests().size(), 1U);
  gate->open();
  load.join();
  submission.result.get();
}

TEST(Place, IsNoneOfARequestThatIsNotActive) {
  Driven node;
  EXPECT_EQ(node->place({12345}).error().code, Code::kNotFound);
}

TEST(Place, HasNoSecondsBeforeAnythingWasMeasured) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a", 1)));
  submit(node, request("a", "one"));
  const RequestId second = submit(node, request("a", "two"));
  EXPECT_EQ(node->place(second).value(), (QueuePlace{.ahead = 1, .seconds = std::nullopt}));
  node.finish();
}

TEST(Place, GoesByTenantsHoweverLongTheOthersHaveWaited) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a", 1)));
  submit(node, request("a", "runs", 100));
  node.step();
  Request one = request("a", "waits");
  one.tenant = "one";
  submit(node, one);
  submit(node, one);
  node.clock().advance(std::chrono::seconds(1));  // two classes' worth
  one.tenant = "other";
  EXPECT_EQ(node->place(submit(node, one))->ahead, 1) << "the first one of the other tenant";
  node.finish();
}

TEST(Place, SaysWhenARequestBegins) {
  Driven node;
  ASSERT_TRUE(node->add(executor("a", 2)));
  for (const char* first : {"1", "2"})  // the speeds of two at once are measured
    submit(node, request("a", first + kLong, 50));
  node.finish();
  std::vector<Submission> submissions;
  std::vector<QueuePlace> places;
  for (int i = 0; i < 6; ++i) {
    const std::string text = std::string(40, static_cast<char>('a' + i));  // no common front
    submissions.push_back(node->submit(request("a", text, 40 + 10 * i), {}).value());
  }
  for (const Submission& submission : submissions)
    places.push_back(node->place(submission.id).value());
  node.finish();
  for (std::size_t i = 0; i < places.size(); ++i) {
    SCOPED_TRACE("request " + std::to_string(i));
    const double queued = submissions[i].result.get().usage.queue_seconds;
    EXPECT_EQ(places[i].ahead, static_cast<std::int32_t>(i));
    if (i < 2)
      EXPECT_EQ(places[i].seconds, 0.0);
    else
      EXPECT_NEAR(places[i].seconds.value(), queued, 0.25 * queued);
  }
}

}  // namespace
}  // namespace choir
