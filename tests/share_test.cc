// Whose cells a sequence begins with, and behind whom it stands back.
#include "policy/share.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

namespace choir {
namespace {

using Do = FrontChoice::Do;

// `front` tokens that all have, then some of its own.
struct Text {
  std::int32_t front = 0;
  std::int32_t own = 0;
  TokenId mark = 0;
  TokenId fourth = 4;
};
constexpr Text tokens(std::int32_t front, std::int32_t own, TokenId mark) {
  return {.front = front, .own = own, .mark = mark};
}
std::vector<TokenId> made(const Text& text) {
  std::vector<TokenId> all(static_cast<std::size_t>(text.front));
  std::iota(all.begin(), all.end(), 1);
  all.insert(all.end(), static_cast<std::size_t>(text.own), text.mark);
  if (text.front > 3) all[3] = text.fourth;
  return all;
}

struct Source {
  std::uint64_t id;
  Text tokens;
  std::int32_t cells;
  std::int32_t cells_after;
  Priority priority = Priority::kNormal;
  std::uint64_t scope = 0;
};
struct Seeker {
  Text tokens;
  std::int32_t slice = 0;
  Priority priority = Priority::kNormal;
  bool may_wait = true;
  std::uint64_t scope = 0;
};
struct Case {
  std::string name;
  Seeker seeker;
  std::vector<Source> sources;
  FrontChoice want;
  std::int32_t window = 0;
  Fronts fronts = Fronts::kAny;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class ChooseFront : public testing::TestWithParam<Case> {};

TEST_P(ChooseFront, Gives) {
  const Case& c = GetParam();
  std::vector<std::vector<TokenId>> texts;
  std::vector<FrontSource> sources;
  for (const Source& s : c.sources) {
    texts.push_back(made(s.tokens));  // moving it moves no token
    sources.push_back({{s.id}, texts.back(), s.cells, s.cells_after, s.priority, {s.scope}});
  }
  const std::vector<TokenId> own = made(c.seeker.tokens);
  const FrontChoice got =
      choose_front({own, c.seeker.slice, c.seeker.priority, c.seeker.may_wait, {c.seeker.scope}},
                   sources, {.fronts = c.fronts, .window_tokens = c.window});
  EXPECT_EQ(got, c.want) << "does " << static_cast<int>(got.what) << " from " << got.from.value
                         << " with " << got.tokens;
}

FrontChoice fork(std::uint64_t from, std::int32_t count) { return {Do::kFork, {from}, count}; }
FrontChoice wait(std::uint64_t from, std::int32_t count) { return {Do::kStandBack, {from}, count}; }
const FrontChoice kCompute{};
constexpr Priority kHigh = Priority::kHigh;
constexpr Priority kLow = Priority::kLow;

const Case kFork[] = {
    {"NobodyThere", {tokens(40, 5, 90)}, {}, kCompute},
    {"NothingInCommon", {tokens(0, 50, 90)}, {{1, tokens(40, 0, 0), 40, 40}}, kCompute},
    {"NotWhatIsTheSameBehindADifference",
     {tokens(40, 5, 90)},
     {{1, tokens(20, 5, 91), 25, 25},
      {2, {.front = 40, .own = 0, .mark = 0, .fourth = 50}, 40, 40}},
     fork(1, 20)},
    {"OneTooFew", {tokens(15, 5, 90)}, {{1, tokens(40, 0, 0), 40, 40}}, kCompute},
    {"JustEnough", {tokens(16, 5, 90)}, {{1, tokens(40, 0, 0), 40, 40}}, fork(1, 16)},
    {"TheLongest",
     {tokens(30, 5, 90)},
     {{1, tokens(20, 5, 91), 25, 25},
      {2, tokens(28, 5, 92), 33, 33},
      {3, tokens(25, 5, 93), 30, 30}},
     fork(2, 28)},
    {"TheFirstOfEquals",
     {tokens(30, 5, 90)},
     {{1, tokens(30, 5, 91), 35, 35}, {2, tokens(30, 5, 92), 35, 35}},
     fork(1, 30)},
    {"OnlyWhatHasCells", {tokens(30, 5, 90)}, {{1, tokens(30, 5, 91), 20, 20}}, fork(1, 20)},
    {"TheLastTokenIsComputed", {tokens(30, 0, 0)}, {{1, tokens(60, 0, 0), 60, 60}}, fork(1, 29)},
    {"AllOfAShorterOne", {tokens(60, 0, 0)}, {{1, tokens(30, 0, 0), 30, 30}}, fork(1, 30)},
    {"OneToken", {tokens(1, 0, 0)}, {{1, tokens(30, 0, 0), 30, 30}}, kCompute},
    {"FromAnyClass",
     {tokens(30, 5, 90), 0, kHigh},
     {{1, tokens(40, 0, 0), 40, 40, kLow}},
     fork(1, 30)},
};
INSTANTIATE_TEST_SUITE_P(Fork, ChooseFront, testing::ValuesIn(kFork),
                         [](const auto& c) { return c.param.name; });

const Case kWait[] = {
    {"BehindOneThatComputesTheFront",
     {tokens(30, 5, 90), 35},
     {{1, tokens(30, 5, 91), 0, 35}},
     wait(1, 30)},
    {"NotForTooFew", {tokens(15, 5, 90), 20}, {{1, tokens(30, 5, 91), 0, 35}}, kCompute},
    {"OnlyForWhatThisPassComputes",
     {tokens(60, 5, 90), 40},
     {{1, tokens(60, 5, 91), 0, 20}},
     wait(1, 20)},
    {"NotBehindOneThatIsNotInThePlan",
     {tokens(60, 5, 90), 40},
     {{1, tokens(60, 5, 91), 0, 0}},
     kCompute},
    {"WhileALongPromptIsHalfComputed",
     {tokens(60, 5, 90), 30},
     {{1, tokens(60, 5, 91), 20, 40}},
     wait(1, 40)},
    {"UntilTheFrontIsThere",
     {tokens(60, 5, 90), 30},
     {{1, tokens(60, 50, 91), 60, 80}},
     fork(1, 60)},
    {"ForClearlyMoreThanThereIs",
     {tokens(60, 5, 90), 30},
     {{1, tokens(45, 9, 91), 54, 54}, {2, tokens(60, 9, 92), 0, 69}},
     fork(1, 45)},  // 15 more
    {"NotForLessThanHalfOfItsOwnSlice",
     {tokens(20, 80, 90), 100},
     {{1, tokens(20, 80, 91), 0, 100}},
     kCompute},
    {"AndThenTakesWhatThereIs",
     {tokens(40, 80, 90), 100},
     {{1, tokens(20, 9, 91), 29, 29}, {2, tokens(40, 9, 92), 0, 49}},
     fork(1, 20)},
    {"ForHalfOfWhatIsLeftAfterAFork",
     {tokens(60, 5, 90), 65},
     {{1, tokens(60, 5, 91), 40, 65}},
     wait(1, 60)},
    {"NotBehindAWorseClass",
     {tokens(30, 5, 90), 35, kHigh},
     {{1, tokens(30, 5, 91), 0, 35}},
     kCompute},
    {"BehindABetterClass",
     {tokens(30, 5, 90), 35, kLow},
     {{1, tokens(30, 5, 91), 0, 35}},
     wait(1, 30)},
    {"NotWhereItMayNot",
     {tokens(30, 5, 90), 35, Priority::kNormal, false},
     {{1, tokens(30, 5, 91), 0, 35}},
     kCompute},
    {"NotWhereTheWindowWillHaveMovedOn",
     {tokens(30, 5, 90), 35},
     {{1, tokens(30, 15, 91), 0, 45}},
     kCompute,
     40},
    {"WhereTheWindowReachesBack",
     {tokens(30, 5, 90), 35},
     {{1, tokens(30, 5, 91), 0, 35}},
     wait(1, 30),
     40},
    {"WhereTheFrontIsAllOfIt",
     {tokens(50, 5, 90), 55},
     {{1, tokens(50, 9, 91), 0, 50}},
     wait(1, 50),
     40},
};
INSTANTIATE_TEST_SUITE_P(Wait, ChooseFront, testing::ValuesIn(kWait),
                         [](const auto& c) { return c.param.name; });

const Case kMemory[] = {
    {"WholeStatesForkWhole",
     {tokens(40, 5, 90)},
     {{1, tokens(40, 5, 91), 45, 45}, {2, tokens(30, 0, 0), 30, 30}},
     fork(2, 30),
     0,
     Fronts::kWhole},
    {"WholeStatesThatHaveMovedOnForkNothing",
     {tokens(40, 0, 0)},
     {{1, tokens(40, 0, 0), 40, 40}},
     kCompute,
     0,
     Fronts::kWhole},
    {"NobodyWaitsForAStateThatWillHaveMovedOn",
     {tokens(30, 5, 90), 35},
     {{1, tokens(30, 5, 91), 0, 35}},
     kCompute,
     0,
     Fronts::kWhole},
    {"OneWaitsForAStateThatWillBeTheFront",
     {tokens(50, 5, 90), 55},
     {{1, tokens(50, 9, 91), 0, 50}},
     wait(1, 50),
     0,
     Fronts::kWhole},
    {"WhoGivesNothingIsNoSource",
     {tokens(40, 5, 90), 45},
     {{1, tokens(40, 0, 0), 40, 40}, {2, tokens(40, 0, 0), 0, 40}},
     kCompute,
     0,
     Fronts::kNone},
};
INSTANTIATE_TEST_SUITE_P(Memory, ChooseFront, testing::ValuesIn(kMemory),
                         [](const auto& c) { return c.param.name; });

constexpr Priority kNormal = Priority::kNormal;
const Case kScopes[] = {
    {"NothingOfAnotherScopeIsThere",
     {tokens(30, 5, 90), 35, kNormal, true, 1},
     {{1, tokens(40, 0, 0), 40, 40, kNormal, 2}},
     kCompute},
    {"TheLongestOfItsOwn",
     {tokens(30, 5, 90), 35, kNormal, true, 1},
     {{1, tokens(30, 5, 91), 35, 35, kNormal, 2}, {2, tokens(20, 5, 92), 25, 25, kNormal, 1}},
     fork(2, 20)},
    {"NobodyWaitsForAnotherScope",
     {tokens(30, 5, 90), 35, kNormal, true, 1},
     {{1, tokens(30, 5, 91), 0, 35, kNormal, 2}},
     kCompute},
    {"BehindTheOneOfItsOwn",
     {tokens(30, 5, 90), 35, kNormal, true, 1},
     {{1, tokens(35, 0, 0), 0, 35, kNormal, 2}, {2, tokens(30, 5, 91), 0, 35, kNormal, 1}},
     wait(2, 30)},
};
INSTANTIATE_TEST_SUITE_P(Scopes, ChooseFront, testing::ValuesIn(kScopes),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir
