// What `choir tune` keeps: read only where it was measured, written whole, and never a crash.
#include "runtime/tuning.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "tests/fake_node.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

using State = FoundTuning::State;

const Tuning kHere{.cpu = "CPU A", .cores = 4, .choir = "1.2.3", .lanes_max = 2};

Machine here() {
  Machine machine = machine_of(4);
  machine.cpu = "CPU A";
  return machine;
}

Version this_version() {
  Version version;
  version.choir = "1.2.3";
  return version;
}

struct JudgeCase {
  std::string name;
  std::string text;
  State want;
  std::string why;  // has this in it
};
void PrintTo(const JudgeCase& c, std::ostream* out) { *out << c.name; }

class JudgeTuning : public testing::TestWithParam<JudgeCase> {};

TEST_P(JudgeTuning, Gives) {
  const JudgeCase& c = GetParam();
  const FoundTuning found = judge_tuning(c.text, "/x/tuning.json", here(), this_version());
  EXPECT_EQ(found.state, c.want) << found.why;
  EXPECT_NE(found.why.find(c.why), std::string::npos) << found.why;
  const bool ignored = c.want != State::kUsed;
  EXPECT_EQ(found.why.starts_with("/x/tuning.json "), ignored) << found.why;
  EXPECT_EQ(found.tuning == kHere, !ignored);
}

std::string text_with(const std::string& cpu, const std::string& cores, const std::string& choir,
                      const std::string& lanes_max) {
  return R"({"cpu":)" + cpu + R"(,"cores":)" + cores + R"(,"choir":)" + choir + R"(,"lanes_max":)" +
         lanes_max + "}";
}

const std::string kA = R"("CPU A")";
const std::string kV = R"("1.2.3")";

const JudgeCase kJudgeCases[] = {
    {"Good", text_with(kA, "4", kV, "2"), State::kUsed, ""},
    {"AsWritten", tuning_text(kHere), State::kUsed, ""},
    {"OtherCpu", text_with(R"("CPU B")", "4", kV, "2"), State::kElsewhere, "'CPU B'"},
    {"OtherCores", text_with(kA, "8", kV, "2"), State::kElsewhere, "with 8 cores, here are 4"},
    {"OtherVersion", text_with(kA, "4", R"("1.2.2")", "2"), State::kElsewhere, "by Choir 1.2.2"},
    {"ControlCharactersOfACpuStayOnTheirLine", text_with(R"("a\nb\u001b")", "4", kV, "2"),
     State::kElsewhere, R"('a\nb\x1b')"},
    {"Empty", "", State::kBroken, "not JSON"},
    {"CutOff", R"({"cpu":"CPU A","cor)", State::kBroken, "not JSON"},
    {"AList", "[1,2]", State::kBroken, "not JSON"},
    {"NoCpu", R"({"cores":4,"choir":"1.2.3","lanes_max":2})", State::kBroken, "which CPU"},
    {"CpuIsANumber", text_with("5", "4", kV, "2"), State::kBroken, "which CPU"},
    {"CoresAreText", text_with(kA, R"("4")", kV, "2"), State::kBroken, "number of cores"},
    {"NoCores", text_with(kA, "0", kV, "2"), State::kBroken, "number of cores"},
    {"NoLanes", text_with(kA, "4", kV, "0"), State::kBroken, "lanes_max from 1 to its 4"},
    {"NegativeLanes", text_with(kA, "4", kV, "-1"), State::kBroken, "lanes_max"},
    {"MoreLanesThanCores", text_with(kA, "4", kV, "5"), State::kBroken, "lanes_max"},
    {"HalfALane", text_with(kA, "4", kV, "1.5"), State::kBroken, "lanes_max"},
    {"NumberBeyondAll", text_with(kA, "4", kV, "18446744073709551615"), State::kBroken,
     "lanes_max"},
};
INSTANTIATE_TEST_SUITE_P(, JudgeTuning, testing::ValuesIn(kJudgeCases),
                         [](const auto& c) { return c.param.name; });

// The file itself, in a cache folder of the test's own.
class KeptTuning : public testing::Test {
 protected:
  KeptTuning() { environment_.set("CHOIR_CACHE", folder_ / "cache"); }
  FoundTuning find() { return find_tuning(here(), this_version()); }

  TempFolder folder_;
  Environment environment_;
};

TEST_F(KeptTuning, IsFoundAgainUntilForgotten) {
  EXPECT_EQ(find().state, State::kNone);
  ASSERT_TRUE(keep_tuning(kHere));
  EXPECT_EQ(find(), (FoundTuning{State::kUsed, kHere, ""}));
  EXPECT_EQ(forget_tuning(), true);
  EXPECT_EQ(find().state, State::kNone);
  EXPECT_EQ(forget_tuning(), false);
}

TEST_F(KeptTuning, LeavesNothingBesideTheFile) {
  ASSERT_TRUE(keep_tuning(kHere));
  ASSERT_TRUE(keep_tuning(kHere));
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "cache"))
    names.push_back(entry.path().filename());
  EXPECT_EQ(names, std::vector<std::string>{"tuning.json"});
}

TEST_F(KeptTuning, WhatIsNoFileIsBroken) {
  std::filesystem::create_directories(folder_ / "cache/tuning.json");
  EXPECT_EQ(find().state, State::kBroken);
  EXPECT_NE(find().why.find(folder_ / "cache/tuning.json"), std::string::npos);
}

TEST_F(KeptTuning, AFileTooLongIsBroken) {
  folder_.write("cache/tuning.json", tuning_text(kHere) + std::string(5000, ' '));
  EXPECT_EQ(find().state, State::kBroken);
}

TEST_F(KeptTuning, AFolderThatCannotBeMadeIsSaid) {
  folder_.write("cache", "a file");
  const Status kept = keep_tuning(kHere);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, Code::kUnavailable);
  EXPECT_EQ(find().state, State::kNone);
}

struct TunedCase {
  std::string name;
  std::int32_t cores;
  std::int32_t lanes_max;
  std::int32_t want;
};
void PrintTo(const TunedCase& c, std::ostream* out) { *out << c.name; }

class Tuned : public KeptTuning, public testing::WithParamInterface<TunedCase> {};

TEST_P(Tuned, Gives) {
  Tuning kept = kHere;
  kept.choir = version().choir;
  ASSERT_TRUE(keep_tuning(kept));
  NodeConfig config;
  config.cores = GetParam().cores;
  config.lanes_max = GetParam().lanes_max;
  EXPECT_EQ(tuned(config, here()).lanes_max, GetParam().want);
}

const TunedCase kTunedCases[] = {
    {"AllCoresAndNothingSaid", 0, 0, 2}, {"AllCoresByNumber", 4, 0, 2},
    {"MoreCoresThanThereAre", 9, 0, 2},  {"SomeCoresAreNotWhatWasMeasured", 3, 0, 0},
    {"WhatIsSaidWins", 0, 3, 3},
};
INSTANTIATE_TEST_SUITE_P(, Tuned, testing::ValuesIn(kTunedCases),
                         [](const auto& c) { return c.param.name; });

TEST_F(KeptTuning, ABrokenFileLeavesANodeAsItIs) {
  folder_.write("cache/tuning.json", "{");
  EXPECT_EQ(tuned({}, here()), NodeConfig{});
}

struct ChooseCase {
  std::string name;
  std::vector<LanesRate> rates;
  std::int32_t cores;
  std::int32_t want;
};
void PrintTo(const ChooseCase& c, std::ostream* out) { *out << c.name; }

class ChooseLanes : public testing::TestWithParam<ChooseCase> {};

TEST_P(ChooseLanes, Gives) {
  EXPECT_EQ(choose_lanes(GetParam().rates, GetParam().cores), GetParam().want);
}

const ChooseCase kChooseCases[] = {
    {"TheFastest", {{1, 120}, {2, 130}, {4, 100}}, 4, 2},
    {"TheDefaultWhereItIsFastest", {{1, 50}, {2, 90}, {4, 100}}, 4, 4},
    {"TheDefaultWithinFivePercent", {{1, 50}, {2, 105}, {4, 100}}, 4, 4},
    {"JustBeyondFivePercent", {{1, 50}, {2, 105.1}, {4, 100}}, 4, 2},
    {"OneCore", {{1, 100}}, 1, 1},
    {"NothingMeasuredAtAll", {{1, 0}, {2, 0}}, 2, 2},
};
INSTANTIATE_TEST_SUITE_P(, ChooseLanes, testing::ValuesIn(kChooseCases),
                         [](const auto& c) { return c.param.name; });

TEST(LanesCandidates, ArePowersOfTwoAndAllCores) {
  EXPECT_EQ(lanes_candidates(1), (std::vector<std::int32_t>{1}));
  EXPECT_EQ(lanes_candidates(2), (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(lanes_candidates(6), (std::vector<std::int32_t>{1, 2, 4, 6}));
  EXPECT_EQ(lanes_candidates(8), (std::vector<std::int32_t>{1, 2, 4, 8}));
}

}  // namespace
}  // namespace choir
