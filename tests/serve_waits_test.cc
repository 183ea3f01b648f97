// Why a request waits, as the routes and the dashboard say it.
#include "serve/waits.h"

#include <gtest/gtest.h>

#include <vector>

namespace choir::serve {
namespace {

ExecutorInfo executor(const std::string& name) {
  ExecutorInfo info;
  info.config.name = name;
  info.config.sequences_max = 4;
  info.config.context_tokens = 2048;
  info.running = 4;
  info.cells = 1900;
  info.cached_cells = 100;
  return info;
}

RequestInfo request(const std::string& model, WaitsFor what, Priority priority) {
  RequestInfo info;
  info.executor = model;
  info.priority = priority;
  info.waits_for = what;
  info.phase = what == WaitsFor::kNothing ? RequestPhase::kDecode : RequestPhase::kWaiting;
  info.prompt_tokens = 300;
  info.output_tokens = 12;
  return info;
}

struct Case {
  std::string name;
  WaitsFor waits_for;
  std::vector<std::pair<std::string, Priority>> computing;
  std::string want;  // JSON; keys in order
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class WhyWaitsOf : public testing::TestWithParam<Case> {};

TEST_P(WhyWaitsOf, IsSaidInOneSentence) {
  std::vector<ExecutorInfo> executors;
  for (const char* name : {"a", "b", "c", "d", "e"}) executors.push_back(executor(name));
  std::vector<RequestInfo> requests = {request("a", GetParam().waits_for, Priority::kNormal)};
  for (const auto& [model, priority] : GetParam().computing)
    requests.push_back(request(model, WaitsFor::kNothing, priority));
  const auto got = WhyWaits(requests, executors, ExecutionPolicy::kBalanced).of(requests.front());
  EXPECT_EQ(got ? got->dump() : "", GetParam().want);
}

const Case kCases[] = {
    {"NotAtAll", WaitsFor::kNothing, {}, ""},
    {"Load",
     WaitsFor::kLoad,
     {},
     R"({"reason":"loading","text":"The model a is not in memory yet."})"},
    {"EarlierTurn",
     WaitsFor::kEarlierTurn,
     {},
     R"({"reason":"conversation","text":"An earlier turn of its conversation has not ended."})"},
    {"Company",
     WaitsFor::kCompany,
     {},
     R"({"reason":"queue","text":"It begins together with requests that were submitted with it."})"},
    {"Resume",
     WaitsFor::kResume,
     {},
     R"({"reason":"suspended","text":"The model a is suspended."})"},
    {"Reader",
     WaitsFor::kReader,
     {},
     R"({"reason":"reader","text":"Its client has not read the text that is there."})"},
    {"OtherRequest",
     WaitsFor::kOtherRequest,
     {},
     R"({"reason":"queue","text":"Another request runs, and only one may run at a time."})"},
    {"Slot",
     WaitsFor::kSlot,
     {},
     R"({"in_use":4,"max":4,"reason":"sequences","text":"All 4 sequences of a are in use."})"},
    {"Batch",
     WaitsFor::kBatch,
     {},
     R"({"reason":"queue","text":"The model a lets requests begin one at a time or in groups."})"},
    {"Cells",
     WaitsFor::kCells,
     {},
     R"({"free":148,"need":312,"reason":"cells","text":"It has lost its KV cells to other requests; it needs 312, and a has 148 of 2048 free."})"},
    {"NextPass",
     WaitsFor::kTurn,
     {{"a", Priority::kNormal}},
     R"({"reason":"queue","text":"It begins in one of the next passes of a."})"},
    {"BetterClass",
     WaitsFor::kTurn,
     {{"b", Priority::kNormal}, {"c", Priority::kHigh}},
     R"({"class":"high","model":"c","reason":"class","text":"Requests of the class high compute now, in c."})"},
    {"OneOtherModel",
     WaitsFor::kTurn,
     {{"a", Priority::kNormal}, {"b", Priority::kLow}},
     R"({"models":["b"],"reason":"share","text":"The models take turns; b computes now."})"},
    {"ManyOtherModels",
     WaitsFor::kTurn,
     {{"b", Priority::kLow}, {"c", Priority::kLow}, {"d", Priority::kLow}, {"e", Priority::kLow}},
     R"({"models":["b","c","d","e"],"reason":"share","text":"The models take turns; b, c, d and others compute now."})"},
};
INSTANTIATE_TEST_SUITE_P(, WhyWaitsOf, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(WhyWaits, ClassesAreNoReasonWhereAllAreEqual) {
  const std::vector<ExecutorInfo> executors = {executor("a"), executor("b")};
  const std::vector<RequestInfo> requests = {
      request("a", WaitsFor::kTurn, Priority::kNormal),
      request("b", WaitsFor::kNothing, Priority::kHigh),
  };
  const WhyWaits waits(requests, executors, ExecutionPolicy::kFair);
  EXPECT_EQ(waits.of(requests.front())->at("reason"), "share");
}

TEST(WhyWaits, OneThatHasJustComeIsOfASuspendedModelAtOnce) {
  std::vector<ExecutorInfo> executors = {executor("a"), executor("b")};
  executors.front().suspended = true;
  const std::vector<RequestInfo> requests = {request("a", WaitsFor::kTurn, Priority::kNormal),
                                             request("b", WaitsFor::kNothing, Priority::kNormal)};
  const auto got = WhyWaits(requests, executors, ExecutionPolicy::kBalanced).of(requests.front());
  ASSERT_TRUE(got);
  EXPECT_EQ((*got)["reason"], "suspended");
}

TEST(WhyWaits, ALoadBeforeIsTold) {
  std::vector<ExecutorInfo> executors = {executor("a")};
  executors.front().load_seconds = 2.52;
  const std::vector<RequestInfo> requests = {request("a", WaitsFor::kLoad, Priority::kNormal)};
  const auto why = WhyWaits(requests, executors, ExecutionPolicy::kBalanced).of(requests.front());
  EXPECT_EQ(why->at("last_load_seconds"), 2.5);
  EXPECT_EQ(why->at("text"), "The model a is not in memory yet; its last load took 2.5 s.");
}

TEST(WhyWaits, ALoadThatIsUnderWayTellsHowFarItIs) {
  std::vector<ExecutorInfo> executors = {executor("a")};
  executors.front().loading = 0.427;
  const std::vector<RequestInfo> requests = {request("a", WaitsFor::kLoad, Priority::kNormal)};
  const auto why = WhyWaits(requests, executors, ExecutionPolicy::kBalanced).of(requests.front());
  EXPECT_EQ(why->at("percent"), 42);
  EXPECT_EQ(why->at("text"), "The model a is being loaded: 42 %.");
}

TEST(WhyWaits, OneOfAModelThatHasLeftHasNoReason) {
  const std::vector<RequestInfo> requests = {request("gone", WaitsFor::kSlot, Priority::kNormal)};
  EXPECT_EQ(WhyWaits(requests, {}, ExecutionPolicy::kBalanced).of(requests.front()), std::nullopt);
}

}  // namespace
}  // namespace choir::serve
