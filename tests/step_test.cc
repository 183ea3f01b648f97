#include "policy/step.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

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

SeqView of_tenant(const char* tenant, SeqView view, std::int32_t live = 1) {
  view.tenant = tenant;
  view.tenant_live = live;
  return view;
}

StepLimits enough(std::int32_t tokens, StepLimits limits) {
  limits.chunk_tokens_enough = tokens;
  return limits;
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
    {"TheEndOfAPromptIsNotCutOff", {seq(1, 10, 4)}, limits(8, 4, 100), {{{{1}, 4, 6, true}}, {}}},
    {"TheEndOfAPromptIsCutAtTheBatch",
     {seq(1, 10, 4)},
     limits(5, 4, 100),
     {{{{1}, 4, 5, false}}, {}}},
    {"NoPromptBeginsOnceThereIsEnough",
     {seq(1, 5, 0), seq(2, 4, 0), seq(3, 2, 0)},
     enough(6, limits(20, 20, 100)),
     {{{{1}, 0, 5, true}, {{2}, 0, 4, true}}, {}}},
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

const char kA[] = "a";
const char kB[] = "b";

const Case kTenants[] = {
    {"DecodesWaitForThePromptOfATenantThatHasHadLess",
     {of_tenant(kA, seq(1, 9, 8, kHigh, 50)), of_tenant(kB, seq(2, 9, 8, kHigh, 20)),
      of_tenant(kB, seq(3, 4, 0, kHigh, 20))},
     limits(20, 20, 100),
     {{{{2}, 8, 1, true}, {{3}, 0, 4, true}}, {}}},
    {"TheyWaitForOneThatHasHadAsMuch",
     {of_tenant(kA, seq(1, 9, 8, kHigh, 50)), of_tenant(kB, seq(2, 4, 0, kHigh, 50))},
     limits(20, 20, 100),
     {{{{2}, 0, 4, true}}, {}}},
    {"TheyDoNotWaitForOneThatHasHadMore",
     {of_tenant(kA, seq(1, 9, 8, kHigh, 50)), of_tenant(kB, seq(2, 4, 0, kHigh, 51))},
     limits(20, 20, 100),
     {{{{1}, 8, 1, true}, {{2}, 0, 4, true}}, {}}},
    {"NorForOneOfAnotherClass",
     {of_tenant(kA, seq(1, 9, 8, kLow, 50)), of_tenant(kB, seq(2, 4, 0, kHigh, 20))},
     limits(20, 20, 100),
     {{{{1}, 8, 1, true}, {{2}, 0, 4, true}}, {}}},
    {"NorForOneThatFindsNoRoom",
     {of_tenant(kA, seq(1, 9, 8, kHigh, 50)), of_tenant(kB, seq(2, 4, 0, kHigh, 20))},
     limits(20, 20, 3),
     {{{{1}, 8, 1, true}}, {}}},
    {"NorForOneThatFindsNoSlot",
     {of_tenant(kA, seq(1, 9, 8, kHigh, 50)), of_tenant(kB, seq(2, 4, 0, kHigh, 20))},
     limits(20, 20, 100, 0),
     {{{{1}, 8, 1, true}}, {}}},
    {"OfTenantsThatHaveHadAsMuchTheOneWithFewerSequencesGoesFirst",
     {of_tenant(kA, seq(1, 4, 0, kHigh, 50), 3), of_tenant(kB, seq(2, 4, 0, kHigh, 50), 2)},
     limits(20, 20, 100),
     {{{{2}, 0, 4, true}}, {}}},
    {"FewSequencesAreNoReasonForOneThatHasHadMore",
     {of_tenant(kA, seq(1, 4, 0, kHigh, 50), 3), of_tenant(kB, seq(2, 4, 0, kHigh, 51), 2)},
     limits(20, 20, 100),
     {{{{1}, 0, 4, true}}, {}}},
    {"AnotherTenantsPromptWaitsToo",
     {of_tenant(kA, seq(1, 4, 0, kHigh, 50)), of_tenant(kB, seq(2, 4, 0, kHigh, 20))},
     limits(20, 20, 100),
     {{{{2}, 0, 4, true}}, {}}},
};
INSTANTIATE_TEST_SUITE_P(Tenants, PlanStep, testing::ValuesIn(kTenants),
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

}  // namespace
}  // namespace choir
