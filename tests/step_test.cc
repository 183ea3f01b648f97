#include "policy/step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "policy/turn.h"

namespace choir {
namespace {

constexpr Priority kCritical = Priority::kCritical;
constexpr Priority kHigh = Priority::kHigh;
constexpr Priority kLow = Priority::kLow;

SeqView seq(std::uint64_t id, std::int32_t known, std::int32_t computed,
            Priority priority = Priority::kNormal, double tenant_served = 0) {
  return {.id = {id},
          .priority = priority,
          .tenant_served = tenant_served,
          .arrived = {Nanos(id)},
          .known_tokens = known,
          .computed_tokens = computed};
}

SeqView whole(std::uint64_t id, std::int32_t known) {
  SeqView view = seq(id, known, 0);
  view.whole = true;
  return view;
}

StepLimits limits(std::int32_t batch, std::int32_t chunk, std::int32_t cells,
                  std::int32_t slots = 9, std::int32_t outputs = 9) {
  return {batch, chunk, cells, slots, outputs};
}

struct Case {
  std::string name;
  std::vector<SeqView> seqs;
  StepLimits limits;
  StepPlan want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class PlanStep : public testing::TestWithParam<Case> {};

TEST_P(PlanStep, Gives) {
  const Case& c = GetParam();
  EXPECT_EQ(plan_step(c.seqs, c.limits), c.want);
}

const Case kOrder[] = {
    {"NothingForNoSequences", {}, limits(8, 4, 100), {}},
    {"NothingWhenNothingIsPending", {seq(1, 5, 5)}, limits(8, 4, 0), {}},
    {"DecodeGoesBeforeOlderPrompt",
     {seq(1, 6, 0), seq(2, 9, 8)},
     limits(5, 4, 100),
     {{{{2}, 8, 1, true}, {{1}, 0, 4, false}}, {}}},
    {"DecodesGoByClassThenArrival",
     {seq(1, 9, 8), seq(2, 9, 8), seq(3, 9, 8, kHigh)},
     limits(2, 4, 100),
     {{{{3}, 8, 1, true}, {{1}, 8, 1, true}}, {}}},
    {"PromptIsCutAtTheChunk", {seq(1, 10, 4)}, limits(8, 3, 100), {{{{1}, 4, 3, false}}, {}}},
    {"TheChunkIsForAllPromptsTogether",
     {seq(1, 5, 0), seq(2, 9, 0)},
     limits(20, 8, 100),
     {{{{1}, 0, 5, true}, {{2}, 0, 3, false}}, {}}},
    {"DecodesDoNotCountAgainstTheChunk",
     {seq(1, 9, 8), seq(2, 9, 0)},
     limits(20, 4, 100),
     {{{{1}, 8, 1, true}, {{2}, 0, 4, false}}, {}}},
    {"HigherClassPromptTakesTheBudget",
     {seq(1, 6, 0), seq(2, 6, 0, kHigh)},
     limits(4, 4, 100),
     {{{{2}, 0, 4, false}}, {}}},
    {"LessServedTenantGoesFirst",
     {seq(1, 6, 0, kHigh, 50), seq(2, 6, 0, kHigh, 20)},
     limits(4, 4, 100),
     {{{{2}, 0, 4, false}}, {}}},
    {"ClassCountsBeforeTenant",
     {seq(1, 6, 0, kHigh, 50), seq(2, 6, 0, kLow, 20)},
     limits(4, 4, 100),
     {{{{1}, 0, 4, false}}, {}}},
    {"PromptOfOneTokenIsAPrompt",
     {seq(1, 1, 0), seq(2, 1, 0)},
     limits(8, 1, 100),
     {{{{1}, 0, 1, true}}, {}}},
    {"CriticalPromptDoesNotWaitForDecodes",
     {seq(1, 9, 8), seq(2, 9, 8, kCritical), seq(3, 4, 0, kCritical)},
     limits(8, 8, 100),
     {{{{2}, 8, 1, true}, {{3}, 0, 4, true}}, {}}},
    {"CriticalDecodeLetsOthersIn",
     {seq(1, 9, 8), seq(2, 9, 8, kCritical)},
     limits(8, 8, 100),
     {{{{2}, 8, 1, true}, {{1}, 8, 1, true}}, {}}},
};
INSTANTIATE_TEST_SUITE_P(Order, PlanStep, testing::ValuesIn(kOrder),
                         [](const auto& c) { return c.param.name; });

const Case kWhole[] = {
    {"IsNotCutAtTheChunk", {whole(1, 6)}, limits(8, 2, 100), {{{{1}, 0, 6, true}}, {}}},
    {"WaitsWhenTheRestOfTheBatchIsTooSmall",
     {whole(1, 5), whole(2, 5), whole(3, 3)},
     limits(8, 2, 100),
     {{{{1}, 0, 5, true}, {{3}, 0, 3, true}}, {}}},
    {"WaitsForAnOutput",
     {whole(1, 3), whole(2, 3)},
     limits(8, 2, 100, 9, 1),
     {{{{1}, 0, 3, true}}, {}}},
};
INSTANTIATE_TEST_SUITE_P(Whole, PlanStep, testing::ValuesIn(kWhole),
                         [](const auto& c) { return c.param.name; });

const Case kOutputs[] = {
    {"DecodesStopAtTheOutputs",
     {seq(1, 9, 8), seq(2, 9, 8)},
     limits(8, 8, 100, 9, 1),
     {{{{1}, 8, 1, true}}, {}}},
    {"PromptStopsOneShortOfItsOutput",
     {seq(1, 9, 8), seq(2, 6, 0)},
     limits(8, 8, 100, 9, 1),
     {{{{1}, 8, 1, true}, {{2}, 0, 5, false}}, {}}},
    {"PromptOfOneTokenWaitsForAnOutput",
     {seq(1, 9, 8), seq(2, 1, 0)},
     limits(8, 8, 100, 9, 1),
     {{{{1}, 8, 1, true}}, {}}},
};
INSTANTIATE_TEST_SUITE_P(Outputs, PlanStep, testing::ValuesIn(kOutputs),
                         [](const auto& c) { return c.param.name; });

const Case kMemory[] = {
    {"DecodeWithoutCellTakesThoseOfTheLast",
     {seq(1, 5, 4), seq(2, 9, 8)},
     limits(8, 4, 0),
     {{{{1}, 4, 1, true}}, {{2}}}},
    {"DecodeTakesCellsOfALaterHalfReadPrompt",
     {seq(1, 5, 4), seq(2, 9, 3)},
     limits(8, 4, 0),
     {{{{1}, 4, 1, true}}, {{2}}}},
    {"WhoIsServedLessDoesNotKeepCells",
     {seq(1, 5, 4, kHigh, 90), seq(2, 9, 8, kHigh, 10)},
     limits(8, 4, 0),
     {{{{1}, 4, 1, true}}, {{2}}}},
    {"DecodeDoesNotTakeCellsOfAnEarlierOne",
     {seq(1, 9, 5), seq(2, 9, 8), seq(3, 9, 8)},
     limits(8, 4, 0),
     {{{{2}, 8, 1, true}, {{1}, 5, 4, true}}, {{3}}}},
    {"TwoStuckPromptsFreeTheLast", {seq(1, 9, 4), seq(2, 9, 4)}, limits(8, 4, 0), {{}, {{2}}}},
    {"AStandstillFreesWhoHasNoWorkFirst",
     {seq(1, 5, 5), seq(2, 9, 4)},
     limits(8, 4, 0),
     {{}, {{1}}}},
    {"NobodyToPreemptIsAnEmptyPlan", {seq(1, 9, 0)}, limits(8, 4, 3), {}},
    {"PromptStartsOnlyWhenAllOfItFits",
     {seq(1, 9, 8), seq(2, 9, 0)},
     limits(8, 4, 9),
     {{{{1}, 8, 1, true}}, {}}},
    {"PromptStartsWhenAllOfItJustFits",
     {seq(1, 9, 8), seq(2, 9, 0)},
     limits(8, 4, 10),
     {{{{1}, 8, 1, true}, {{2}, 0, 4, false}}, {}}},
    {"RoomOfAHalfReadPromptIsNotGivenAway",
     {seq(1, 9, 2), seq(2, 4, 0)},
     limits(8, 8, 10),
     {{{{1}, 2, 7, true}}, {}}},
    {"NobodyOvertakesAPromptThatWaitsForRoom",
     {seq(1, 9, 8), seq(2, 9, 0), seq(3, 2, 0)},
     limits(8, 4, 9),
     {{{{1}, 8, 1, true}}, {}}},
    {"HalfReadPromptGoesOnBehindOneThatWaitsForRoom",
     {seq(1, 20, 0), seq(2, 9, 5)},
     limits(8, 4, 9),
     {{{{2}, 5, 4, true}}, {}}},
    {"HigherClassTakesTheRoomOfALowerOne",
     {seq(1, 9, 8, kLow), seq(2, 9, 0, kHigh)},
     limits(8, 4, 5),
     {{{{2}, 0, 4, false}}, {{1}}}},
    {"HigherClassDoesNotTakeWhatIsNotEnough",
     {seq(1, 3, 2, kLow), seq(2, 9, 0, kHigh)},
     limits(8, 4, 3),
     {{{{1}, 2, 1, true}}, {}}},
    {"HalfReadPromptTakesCellsOfALowerClass",
     {seq(1, 9, 6, kLow), seq(2, 9, 5, kHigh)},
     limits(8, 4, 0),
     {{{{2}, 5, 4, true}}, {{1}}}},
    {"WithoutSlotAPromptWaits",
     {seq(1, 9, 8), seq(2, 4, 0)},
     limits(8, 4, 50, 0),
     {{{{1}, 8, 1, true}}, {}}},
    {"HigherClassTakesTheSlotOfADecodeInThePlan",
     {seq(1, 9, 8), seq(2, 9, 8), seq(3, 4, 0, kHigh)},
     limits(8, 4, 50, 0),
     {{{{1}, 8, 1, true}, {{3}, 0, 4, true}}, {{2}}}},
    {"PreemptionOfADecodeInThePlanGivesItsBatchBack",
     {seq(1, 9, 8), seq(2, 9, 8), seq(3, 4, 0, kHigh)},
     limits(3, 4, 50, 0),
     {{{{1}, 8, 1, true}, {{3}, 0, 2, false}}, {{2}}}},
    {"PreemptionOfADecodeInThePlanGivesItsCellBack",
     {seq(1, 9, 8, kLow), seq(2, 20, 5, kHigh)},
     limits(20, 20, 1),
     {{{{2}, 5, 9, false}}, {{1}}}},
    {"PreemptionOfADecodeInThePlanGivesItsOutputBack",
     {seq(1, 9, 8, kLow), seq(2, 9, 5, kHigh)},
     limits(8, 8, 1, 9, 1),
     {{{{2}, 5, 4, true}}, {{1}}}},
    {"PreemptedPromptStaysOutOfThePass",
     {seq(1, 5, 4), seq(2, 9, 3)},
     limits(8, 4, 0, 9, 1),
     {{{{1}, 4, 1, true}}, {{2}}}},
    {"PreemptedPromptDoesNotStartAgainInThePass",
     {seq(1, 40, 39, kLow), seq(2, 9, 2, kLow), seq(3, 20, 0, kHigh)},
     limits(40, 40, 0),
     {{{{3}, 0, 20, true}}, {{2}, {1}}}},
    {"TwoPromptsDoNotStartInTheSameRoom",
     {seq(1, 6, 0), seq(2, 6, 0)},
     limits(20, 20, 10),
     {{{{1}, 0, 6, true}}, {}}},
    {"OneSlotIsForOnePrompt",
     {seq(1, 2, 0), seq(2, 2, 0)},
     limits(8, 8, 50, 1),
     {{{{1}, 0, 2, true}}, {}}},
};
INSTANTIATE_TEST_SUITE_P(Memory, PlanStep, testing::ValuesIn(kMemory),
                         [](const auto& c) { return c.param.name; });

TEST(PlanStep, ScratchAndPlanOfAnEarlierCallLeaveNothingBehind) {
  StepScratch scratch;
  StepPlan plan;
  plan_step(std::vector{seq(1, 5, 4), seq(2, 9, 3)}, limits(8, 4, 0), scratch, plan);
  for (int i = 0; i < 2; ++i)
    plan_step(std::vector{seq(3, 9, 0)}, limits(20, 20, 100), scratch, plan);
  EXPECT_EQ(plan, (StepPlan{{{{3}, 0, 9, true}}, {}}));
}

// A whole executor by counting: sequences arrive, age and finish in virtual time, 10 ms a pass.
// Every seed is another workload and replays exactly.
class Workload {
 public:
  explicit Workload(std::uint32_t seed) : rng_(seed) {
    limits_ = limits(upto(16), upto(16), 0, 0, upto(8));
    slots_ = std::min({upto(8), limits_.batch_tokens_max, limits_.outputs_max});
    const int n = upto(12);
    for (int i = 0; i < n; ++i) {
      SeqView view = seq(static_cast<std::uint64_t>(i), upto(40), 0);
      view.arrived = {std::chrono::milliseconds(upto(400))};
      view.whole = upto(10) == 1 && view.known_tokens <= limits_.batch_tokens_max;
      waiting_.push_back(
          {view, static_cast<Priority>(upto(4) - 1), upto(3), view.known_tokens + upto(20)});
    }
  }

  bool finished() const { return waiting_.empty() && live_.empty(); }
  std::int64_t computed() const { return computed_; }
  std::int64_t needed() const { return needed_; }

  // One pass; fails the test where a limit breaks.
  void step() {
    now_ = now_ + std::chrono::milliseconds(10);
    arrive();
    StepLimits now_free = limits_;
    now_free.kv_cells_free = kCells - held();
    now_free.slots_free = slots_ - holders();
    ASSERT_GE(now_free.kv_cells_free, 0);
    ASSERT_GE(now_free.slots_free, 0);
    const StepPlan plan = planned(now_free);
    for (const SeqId id : plan.preempted) {
      ASSERT_GT(at(id).view.computed_tokens, 0) << "preempted twice, or without cells";
      at(id).view.computed_tokens = 0;
    }
    carry_out(plan);
    std::erase_if(live_, [](const Row& r) { return r.view.known_tokens > r.end; });
  }

 private:
  static constexpr std::int32_t kCells = 64;
  struct Row {
    SeqView view;
    Priority priority;
    int tenant;
    std::int32_t end;
  };

  int upto(int n) { return 1 + static_cast<int>(rng_() % static_cast<unsigned>(n)); }
  Row& at(SeqId id) {
    return *std::ranges::find(live_, id, [](const Row& r) { return r.view.id; });
  }
  std::int32_t held() const {
    std::int32_t sum = 0;
    for (const Row& row : live_) sum += row.view.computed_tokens;
    return sum;
  }
  std::int32_t holders() const {
    return static_cast<std::int32_t>(
        std::ranges::count_if(live_, [](const Row& r) { return r.view.computed_tokens > 0; }));
  }

  void arrive() {
    std::erase_if(waiting_, [&](const Row& row) {
      if (now_ < row.view.arrived) return false;
      live_.push_back(row);
      needed_ += row.view.whole ? row.view.known_tokens : row.end;
      return true;
    });
    for (Row& row : live_) {
      row.view.priority =
          aged(row.priority, now_ - row.view.arrived, std::chrono::milliseconds(100));
      row.view.tenant_served = served_[row.tenant];
    }
  }

  StepPlan planned(const StepLimits& now_free) {
    std::vector<SeqView> views;
    for (const Row& row : live_) views.push_back(row.view);
    StepPlan plan = plan_step(views, now_free);
    std::ranges::shuffle(views, rng_);
    EXPECT_EQ(plan, plan_step(views, now_free)) << "the order of the input must not matter";
    return plan;
  }

  void carry_out(const StepPlan& plan) {
    std::int32_t chunk = 0;
    std::int32_t outputs = 0;
    std::vector<SeqId> seen = plan.preempted;
    for (const Slice& slice : plan.slices) {
      Row& row = at(slice.seq);
      ASSERT_EQ(std::ranges::count(seen, slice.seq), 0) << "twice in a plan, or preempted";
      seen.push_back(slice.seq);
      ASSERT_EQ(slice.begin, row.view.computed_tokens);
      ASSERT_GT(slice.count, 0);
      const bool decode = slice.begin > 0 && row.view.pending_tokens() == 1;
      if (!decode && !row.view.whole) chunk += slice.count;
      row.view.computed_tokens += slice.count;
      ASSERT_EQ(slice.sample, row.view.pending_tokens() == 0);
      ASSERT_TRUE(slice.sample || !row.view.whole);
      outputs += slice.sample ? 1 : 0;
      // An encoder is done with its one pass; the others get the sampler's token.
      if (slice.sample)
        row.view.known_tokens = row.view.whole ? row.end + 1 : row.view.known_tokens + 1;
      served_[row.tenant] += slice.count;
      computed_ += slice.count;
    }
    ASSERT_LE(plan.tokens(), limits_.batch_tokens_max);
    ASSERT_LE(chunk, limits_.chunk_tokens_max);
    ASSERT_LE(outputs, limits_.outputs_max);
    ASSERT_LE(held(), kCells);
    ASSERT_LE(holders(), slots_);
  }

  std::mt19937 rng_;
  StepLimits limits_;
  std::int32_t slots_ = 0;
  Instant now_;
  std::vector<Row> waiting_, live_;
  std::map<int, double> served_;
  std::int64_t computed_ = 0;
  std::int64_t needed_ = 0;
};

TEST(PlanStepProperty, EverySequenceFinishesAndNoLimitBreaks) {
  std::int64_t computed = 0;
  std::int64_t needed = 0;
  for (std::uint32_t seed = 1; seed <= 3000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Workload work(seed);
    for (int steps = 0; !work.finished() && steps < 5000; ++steps) {
      work.step();
      if (HasFailure()) return;
    }
    ASSERT_TRUE(work.finished()) << "some sequences never finish";
    computed += work.computed();
    needed += work.needed();
  }
  RecordProperty("recomputed_percent", std::to_string(100 * (computed - needed) / needed));
  EXPECT_LT(computed, needed * 3 / 2) << "preemption recomputes more than half of the work";
}

// Passes of 10 ms under more HIGH work than the executor can do, arriving without end. Returns the
// pass in which the LOW sequence finished, or passes_max.
int passes_until_low_is_done(Nanos age_step, int passes_max) {
  std::vector<SeqView> live{seq(0, 20, 0, kLow)};
  std::uint64_t next_id = 1;
  Instant now;
  for (int pass = 0; pass < passes_max; ++pass, now = now + std::chrono::milliseconds(10)) {
    for (int i = 0; i < 2; ++i) {
      live.push_back(seq(next_id++, 10, 0, kHigh));
      live.back().arrived = now;
    }
    StepLimits free = limits(8, 8, 60, 4, 4);
    std::vector<SeqView> views = live;
    for (SeqView& view : views) {
      view.priority = aged(view.priority, now - view.arrived, age_step);
      free.kv_cells_free -= view.computed_tokens;
      free.slots_free -= view.computed_tokens > 0 ? 1 : 0;
    }
    const StepPlan plan = plan_step(views, free);
    for (const SeqId id : plan.preempted)
      std::ranges::find(live, id, &SeqView::id)->computed_tokens = 0;
    for (const Slice& slice : plan.slices) {
      SeqView& view = *std::ranges::find(live, slice.seq, &SeqView::id);
      view.computed_tokens += slice.count;
      if (slice.sample) ++view.known_tokens;
    }
    std::erase_if(live,
                  [](const SeqView& v) { return v.known_tokens > (v.priority == kLow ? 25 : 15); });
    if (live.empty() || live.front().priority != kLow) return pass;
  }
  return passes_max;
}

TEST(PlanStepProperty, LowFinishesUnderEndlessHighWorkThroughAgeing) {
  // Aged to the top after 30 passes; then only what arrived before it is in front of it.
  EXPECT_LT(passes_until_low_is_done(std::chrono::milliseconds(100), 2000), 60);
}

TEST(PlanStepProperty, LowWaitsForeverWithoutAgeing) {
  EXPECT_EQ(passes_until_low_is_done(Nanos{0}, 2000), 2000);
}

}  // namespace
}  // namespace choir
