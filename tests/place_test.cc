// What an active request is said to do, and when one that waits is expected to begin.
#include "policy/place.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace choir {
namespace {

// ---- what it does ----

struct SightCase {
  std::string name;
  SightView view;
  Sight want;
};
void PrintTo(const SightCase& c, std::ostream* out) { *out << c.name; }

class SightOf : public testing::TestWithParam<SightCase> {};

TEST_P(SightOf, Is) {
  const Sight got = sight_of(GetParam().view);
  EXPECT_EQ(to_string(got.phase), to_string(GetParam().want.phase));
  EXPECT_EQ(to_string(got.waits_for), to_string(GetParam().want.waits_for));
}

using enum RequestPhase;

const SightCase kSights[] = {
    {"New", {.prompt_tokens = 9}, {kWaiting, WaitsFor::kTurn}},
    {"NewWhereAllSlotsAreInUse",
     {.slots_full = true, .batching = Batching::kCollect, .prompt_tokens = 9},
     {kWaiting, WaitsFor::kSlot}},
    {"NewWhereABatchIsCollected",
     {.batching = Batching::kCollect, .prompt_tokens = 9},
     {kWaiting, WaitsFor::kBatch}},
    {"NewBehindAnotherRequest",
     {.others_turn = true, .slots_full = true, .prompt_tokens = 9},
     {kWaiting, WaitsFor::kOtherRequest}},
    {"BeginningOfThePrompt", {.prompt_tokens = 9, .computed = 1}, {kPrefill, WaitsFor::kNothing}},
    {"EndOfThePrompt", {.prompt_tokens = 9, .computed = 9}, {kDecode, WaitsFor::kNothing}},
    {"HalfAPromptBehindAnotherRequest",
     {.others_turn = true, .prompt_tokens = 9, .computed = 1},
     {kPrefill, WaitsFor::kOtherRequest}},
    {"LostItsCells",
     {.parked = true, .slots_full = true, .prompt_tokens = 9},
     {kParked, WaitsFor::kCells}},
    {"LostItsCellsAndHasThemAside",
     {.parked = true, .prompt_tokens = 9, .computed = 20},
     {kParked, WaitsFor::kCells}},
    {"ReaderBehind",
     {.reader_behind = true, .parked = true, .prompt_tokens = 9},
     {kReaderBehind, WaitsFor::kReader}},
    {"Suspended",
     {.suspended = true, .reader_behind = true, .prompt_tokens = 9, .computed = 9},
     {kSuspended, WaitsFor::kResume}},
    {"TurnAfterAnother", {.awaited = true, .suspended = true}, {kWaiting, WaitsFor::kEarlierTurn}},
    {"WithOthers", {.awaited = true, .prompt_tokens = 9}, {kWaiting, WaitsFor::kCompany}},
    {"NotLoaded",
     {.loaded = false, .suspended = true, .prompt_tokens = 9},
     {kLoading, WaitsFor::kLoad}},
    {"Ended",
     {.ended = true, .loaded = false, .reader_behind = true, .prompt_tokens = 9, .computed = 20},
     {kEnding, WaitsFor::kNothing}},
};
INSTANTIATE_TEST_SUITE_P(, SightOf, testing::ValuesIn(kSights),
                         [](const auto& c) { return c.param.name; });

// ---- where it stands ----

PlaceView waits(std::uint64_t id, double seconds, Priority priority = Priority::kNormal,
                std::string_view tenant = "") {
  return {.id = {id},
          .priority = priority,
          .tenant = tenant,
          .arrived = Instant{} + Nanos{static_cast<Nanos::rep>(id)},
          .seconds_left = seconds};
}
PlaceView runs(std::uint64_t id, double seconds) {
  PlaceView view = waits(id, seconds);
  view.begun = true;
  return view;
}

struct PlaceCase {
  std::string name;
  std::vector<PlaceView> rows;  // asked for: number 9
  std::int32_t slots;
  QueuePlace want;
};
void PrintTo(const PlaceCase& c, std::ostream* out) { *out << c.name; }

class PlaceOf : public testing::TestWithParam<PlaceCase> {};

TEST_P(PlaceOf, Is) {
  const QueuePlace got = place_of(GetParam().rows, {9}, GetParam().slots);
  EXPECT_EQ(got.ahead, GetParam().want.ahead);
  EXPECT_DOUBLE_EQ(got.seconds.value(), GetParam().want.seconds.value());
}

constexpr auto kHigh = Priority::kHigh;
constexpr auto kNormal = Priority::kNormal;
constexpr auto kLow = Priority::kLow;

const PlaceCase kPlaces[] = {
    {"Alone", {waits(9, 5)}, 1, {0, 0.0}},
    {"HasBegun", {runs(1, 3), runs(9, 5), waits(2, 1)}, 1, {0, 0.0}},
    {"ASlotIsFree", {runs(1, 3), waits(9, 5)}, 2, {0, 0.0}},
    {"TheOnlySlotIsTaken", {runs(1, 3), waits(9, 5)}, 1, {0, 3.0}},
    // Both run at half the speed until the shorter one ends.
    {"TheShorterOneEndsFirst", {runs(1, 1), runs(2, 3), waits(9, 5)}, 2, {0, 2.0}},
    {"BehindTwo", {runs(1, 1), waits(2, 3), waits(3, 4), waits(9, 5)}, 1, {2, 8.0}},
    // 1 and 2 until 2; then 2 (2 left) and 3 until 6, where both end.
    {"BehindOneThatTakesTheFirstSlot",
     {runs(1, 1), runs(2, 3), waits(3, 2), waits(9, 5)},
     2,
     {1, 6.0}},
    {"NewerOnesAreBehind", {runs(1, 1), waits(9, 5), waits(10, 7)}, 1, {0, 1.0}},
    {"ABetterClassGoesFirst", {runs(1, 1), waits(9, 5, kNormal), waits(10, 2, kHigh)}, 1, {1, 3.0}},
    {"AWorseClassDoesNot", {runs(1, 1), waits(2, 7, kLow), waits(9, 5, kNormal)}, 1, {0, 1.0}},
    {"MoreBegunThanSlots", {runs(1, 1), runs(2, 1), waits(9, 5)}, 1, {0, 2.0}},
    {"TenantsTakeTurns",
     {runs(1, 1), waits(2, 1, kNormal, "a"), waits(3, 1, kNormal, "a"), waits(4, 1, kNormal, "a"),
      waits(9, 5, kNormal, "b")},
     1,
     {1, 2.0}},
    {"TheSecondOfATenantIsInTheSecondRound",
     {runs(1, 1), waits(2, 1, kNormal, "a"), waits(3, 1, kNormal, "a"), waits(4, 1, kNormal, "a"),
      waits(5, 1, kNormal, "b"), waits(9, 5, kNormal, "b")},
     1,
     {3, 4.0}},
};
INSTANTIATE_TEST_SUITE_P(, PlaceOf, testing::ValuesIn(kPlaces),
                         [](const auto& c) { return c.param.name; });

// The same, by letting all of them run.
double played(const std::vector<PlaceView>& rows, RequestId id, std::size_t slots) {
  std::vector<double> running;
  std::vector<PlaceView> queue;
  for (const PlaceView& row : rows) {
    if (row.begun)
      running.push_back(row.seconds_left);
    else
      queue.push_back(row);
  }
  std::ranges::sort(queue, {},
                    [](const auto& row) { return std::pair(row.priority, row.arrived); });
  double now = 0;
  for (std::size_t next = 0;;) {
    while (running.size() < slots) {
      if (queue.at(next).id == id) return now;
      running.push_back(queue.at(next++).seconds_left);
    }
    const double least = *std::ranges::min_element(running);
    now += least * static_cast<double>(running.size());
    for (double& left : running) left -= least;
    running.erase(std::ranges::min_element(running));
  }
}

TEST(PlaceEstimate, IsWhatHappensWhenAllOfThemRun) {
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const auto slots = static_cast<std::int32_t>(1 + rng() % 4);
    std::vector<PlaceView> rows;
    for (std::uint64_t id = 1; id <= 12; ++id) {
      rows.push_back(
          waits(id, static_cast<double>(1 + rng() % 50) / 4, static_cast<Priority>(rng() % 4)));
      rows.back().begun = rng() % 3 == 0;
    }
    rows[8].begun = false;
    const QueuePlace place = place_of(rows, {9}, slots);
    EXPECT_NEAR(*place.seconds, played(rows, {9}, static_cast<std::size_t>(slots)), 1e-9);
    std::ranges::shuffle(rows, rng);
    EXPECT_EQ(place_of(rows, {9}, slots).ahead, place.ahead) << "the order does not matter";
  }
}

}  // namespace
}  // namespace choir
