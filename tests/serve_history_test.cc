// The history of a node in virtual time.
#include "serve/history.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace choir::serve {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

Instant at(Nanos time) { return Instant{} + time; }

ExecutorInfo model(const std::string& name, std::uint64_t output, std::int32_t running = 1) {
  ExecutorInfo info;
  info.config.name = name;
  info.output_tokens = output;
  info.running = running;
  info.active = running;
  return info;
}

History::Sight sight(std::vector<ExecutorInfo> models, std::uint64_t bytes = 0,
                     std::vector<double> first_tokens = {}) {
  return {std::move(models), bytes, std::move(first_tokens)};
}

std::vector<double> values(const Json& list) {
  std::vector<double> out;
  for (const Json& value : list) out.push_back(value.is_null() ? -1 : value.get<double>());
  return out;
}
using Values = std::vector<double>;

class HistoryTest : public testing::Test {
 protected:
  Json shown(Nanos now, std::int64_t span) { return history.shown(at(now), 77, span); }
  Json total(Nanos now, std::int64_t span, const char* name = "output_tokens_per_second") {
    return shown(now, span)["totals"][name];
  }
  History history{at(seconds(100))};
};

TEST_F(HistoryTest, TellsTheCoresThatComputedForAModel) {
  const auto computed = [](double in_all) {
    ExecutorInfo info = model("a", 10);
    info.compute_seconds = in_all;
    return sight({info});
  };
  history.begin(at(seconds(110)));
  history.add(at(seconds(111)), computed(1.5));
  history.add(at(seconds(113)), computed(4.5));
  EXPECT_EQ(values(shown(seconds(113), 3)["models"]["a"]["cores"]), (Values{1.5, 1.5, 1.5}));
  history.add(at(milliseconds(113'500)), computed(5));
  EXPECT_EQ(values(shown(seconds(113), 1)["models"]["a"]["cores"]), (Values{2}))
      << "of both looks of the second";
  history.add(at(seconds(114)), computed(0.5));
  EXPECT_EQ(values(shown(seconds(114), 1)["models"]["a"]["cores"]), (Values{0.5}))
      << "it was loaded anew";
}

TEST_F(HistoryTest, OfAnIdleDaemonIsNoughtFromItsStart) {
  EXPECT_EQ(values(total(seconds(102), 5)), (Values{-1, -1, 0, 0, 0}));
  EXPECT_EQ(values(total(seconds(102), 2, "first_token_p95_ms")), (Values{-1, -1}));
  const Json all = shown(seconds(102), 900);
  EXPECT_EQ(all["step_seconds"], 1);
  EXPECT_EQ(all["totals"]["waiting"].size(), 900U);
  EXPECT_TRUE(all["models"].empty());
}

TEST_F(HistoryTest, CountsWhatWasDoneFromLookToLook) {
  history.begin(at(seconds(110)));
  EXPECT_TRUE(history.add(at(seconds(111)), sight({model("a", 40, 2), model("b", 10)}, 500)));
  EXPECT_TRUE(history.add(at(seconds(112)), sight({model("a", 100), model("b", 10)}, 500)));
  const Json all = shown(seconds(112), 4);
  EXPECT_EQ(values(all["totals"]["output_tokens_per_second"]), (Values{0, 0, 50, 60}));
  EXPECT_EQ(values(all["totals"]["running"]), (Values{0, 0, 3, 2}));
  EXPECT_EQ(values(all["totals"]["bytes_promised"]), (Values{0, 0, 500, 500}));
  EXPECT_EQ(values(all["models"]["a"]["output_tokens_per_second"]), (Values{-1, -1, 40, 60}));
  EXPECT_EQ(values(all["models"]["b"]["running"]), (Values{-1, -1, 1, 1}));
}

TEST_F(HistoryTest, OfASecondThatNoLookHasSeenIsAsTheLookAfterIt) {
  history.begin(at(seconds(110)));
  history.add(at(seconds(111)), sight({model("a", 10)}));
  history.add(at(seconds(114)), sight({model("a", 40)}));
  EXPECT_EQ(values(total(seconds(114), 4)), (Values{10, 10, 10, 10}));
}

TEST_F(HistoryTest, FillsTheTimeBetweenTwoWorks) {
  history.begin(at(seconds(110)));
  history.add(at(seconds(111)), sight({model("a", 10)}, 9));
  EXPECT_FALSE(history.add(at(seconds(112)), sight({model("a", 10, 0)}, 9)));
  history.begin(at(seconds(115)));
  history.add(at(seconds(116)), sight({model("a", 30)}, 9));
  EXPECT_EQ(values(total(seconds(116), 6)), (Values{10, 0, 0, 0, 0, 20}));
  EXPECT_EQ(values(total(seconds(116), 6, "bytes_promised")), (Values{9, 9, 9, 9, 9, 9}));
}

TEST_F(HistoryTest, IsUpToNowWhileTheNodeIsIdle) {
  history.begin(at(seconds(110)));
  history.add(at(seconds(111)), sight({model("a", 10)}));
  history.add(at(seconds(112)), sight({model("a", 10, 0)}));
  EXPECT_EQ(values(total(seconds(115), 5)), (Values{10, 0, 0, 0, 0}));
  EXPECT_EQ(values(shown(seconds(115), 5)["models"]["a"]["output_tokens_per_second"]),
            (Values{10, 0, 0, 0, 0}));
}

TEST_F(HistoryTest, GoesOnWhileSomethingWillChange) {
  history.begin(at(seconds(110)));
  EXPECT_TRUE(history.add(at(seconds(111)), sight({}, 5))) << "bytes have changed";
  ExecutorInfo held = model("a", 0, 0);
  held.leases = {{.tenant = "t", .seconds_left = 60}};
  EXPECT_TRUE(history.add(at(seconds(112)), sight({held}, 5))) << "it will leave";
  held.leases.front().seconds_left = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(history.add(at(seconds(113)), sight({held}, 5)));
}

TEST_F(HistoryTest, OfAnExecutorThatWasDeclaredAnewBeginsAnew) {
  history.begin(at(seconds(110)));
  history.add(at(seconds(111)), sight({model("a", 1000)}));
  history.add(at(seconds(112)), sight({model("a", 7)}));
  EXPECT_EQ(values(total(seconds(112), 1)), (Values{7}));
}

TEST_F(HistoryTest, HasTheTimeThatOneRequestInTwentyExceeds) {
  std::vector<double> first;
  for (int i = 1; i <= 100; ++i) first.push_back(i * 0.001);
  history.begin(at(seconds(110)));
  history.add(at(seconds(111)), sight({}, 0, first));
  EXPECT_EQ(values(total(seconds(111), 1, "first_token_p95_ms")), (Values{95}));
}

TEST_F(HistoryTest, TheFirstTokensOfAMinuteCount) {
  const auto tail = [&](std::int64_t second) {
    return values(total(seconds(second), 1, "first_token_p95_ms"));
  };
  history.begin(at(seconds(110)));
  history.add(at(seconds(111)), sight({}, 0, {0.5}));
  EXPECT_EQ(tail(111), (Values{500}));
  for (int second = 112; second <= 170; ++second) {
    history.add(at(seconds(second)), sight({}, 0, {0.25}));
    if (second == 112) {
      EXPECT_EQ(tail(112), (Values{500})) << "one of two";
    }
  }
  EXPECT_EQ(tail(170), (Values{250})) << "one in sixty is no longer than what one in twenty takes";
  history.add(at(seconds(171)), sight({model("a", 5)}));
  EXPECT_EQ(tail(171), (Values{250})) << "a second without a first token has that of its minute";
}

TEST_F(HistoryTest, HasTensForADay) {
  history.begin(at(seconds(109)));
  std::uint64_t tokens = 0;
  for (int second = 110; second <= 140; ++second) {
    tokens += second < 130 ? 10 : 30;
    history.add(at(seconds(second)), sight({model("a", tokens)}, 1000 + tokens, {0.001 * second}));
  }
  const Json all = shown(seconds(140), 901);
  EXPECT_EQ(all["step_seconds"], 10);
  EXPECT_EQ(all["totals"]["running"].size(), 91U);
  const Values output = values(all["totals"]["output_tokens_per_second"]);
  EXPECT_EQ(Values(output.end() - 5, output.end()), (Values{0, 10, 10, 30, 30}));
  const Values first = values(all["totals"]["first_token_p95_ms"]);
  EXPECT_EQ(Values(first.end() - 3, first.end()), (Values{128, 138, 139}));
  const Values bytes = values(all["totals"]["bytes_promised"]);
  EXPECT_EQ(bytes.back(), 1000 + static_cast<double>(tokens));
}

TEST_F(HistoryTest, ForgetsWhatIsOlderThanItsRings) {
  history.begin(at(seconds(110)));
  history.add(at(seconds(111)), sight({model("a", 500)}));
  history.add(at(seconds(112)), sight({model("a", 500, 0)}));
  const auto sum = [&](Nanos now, std::int64_t span) {
    double all = 0;
    for (const double value : values(total(now, span))) all += value > 0 ? value : 0;
    return all;
  };
  EXPECT_EQ(sum(seconds(112 + 800), 900), 500);
  EXPECT_EQ(sum(seconds(112 + 900), 900), 0);
  EXPECT_EQ(sum(hours(20), History::kMostSeconds), 50) << "the mean of ten seconds";
  EXPECT_EQ(sum(hours(26), History::kMostSeconds), 0);
  EXPECT_EQ(sum(hours(24 * 365), History::kMostSeconds), 0);
}

TEST_F(HistoryTest, OfMoreModelsThanItHasCurvesForKeepsThoseThatWorkedLast) {
  history.begin(at(seconds(110)));
  std::vector<ExecutorInfo> models;
  for (std::size_t i = 0; i < History::kModelsMax; ++i)
    models.push_back(model("m" + std::to_string(i), 1));
  history.add(at(seconds(111)), sight(models));
  for (ExecutorInfo& one : models) one.output_tokens = one.config.name == "m0" ? 1 : 2;
  models.front().running = 0;
  models.push_back(model("late", 5));
  history.add(at(seconds(112)), sight(models));
  const Json all = shown(seconds(112), 1);
  EXPECT_EQ(all["models"].size(), History::kModelsMax);
  EXPECT_TRUE(all["models"].contains("late"));
  EXPECT_FALSE(all["models"].contains("m0"));
  EXPECT_EQ(values(all["totals"]["output_tokens_per_second"]),
            (Values{History::kModelsMax - 1 + 5}));
}

// Who asks again puts each second where it was, however late in its second the question comes.
TEST_F(HistoryTest, ASecondHasOnePlaceInTime) {
  constexpr std::int64_t kOrigin = 1'700'000'000'300;
  const auto asked = [&](Nanos now, std::int64_t jitter_ms = 0) {
    const std::int64_t ms = std::chrono::duration_cast<milliseconds>(now).count();
    return history.shown(at(now), kOrigin + ms + jitter_ms, 5)["now_ms"].get<std::int64_t>();
  };
  const std::int64_t first = asked(seconds(200));
  EXPECT_EQ(first, kOrigin + 200'000);
  EXPECT_EQ(asked(milliseconds(200'999), -2), first);
  EXPECT_EQ(asked(milliseconds(203'010), 3), first + 3000);
  history.begin(at(milliseconds(204'900)));  // the seconds up to the next are filled
  EXPECT_EQ(asked(milliseconds(205'050)), first + 4000) << "205 has no values yet";
  EXPECT_EQ(asked(seconds(206), 60'000), first + 4000 + 60'000) << "the clock was set";
}

TEST_F(HistoryTest, CountsBothLooksOfASecond) {
  history.begin(at(seconds(110)));
  history.add(at(milliseconds(110'500)), sight({model("a", 10)}));
  history.add(at(milliseconds(110'900)), sight({model("a", 30)}));
  EXPECT_EQ(values(total(seconds(111), 1)), (Values{30}));
  EXPECT_EQ(values(shown(seconds(111), 1)["models"]["a"]["output_tokens_per_second"]),
            (Values{30}));
}

}  // namespace
}  // namespace choir::serve
