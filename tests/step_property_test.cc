#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "policy/step.h"
#include "policy/turn.h"

namespace choir {
namespace {

constexpr Priority kLow = Priority::kLow;

SeqView seq(std::uint64_t id, std::int32_t known, Priority priority) {
  return {.id = {id}, .priority = priority, .arrived = {Nanos(id)}, .known_tokens = known};
}

// A whole executor by counting: sequences arrive, age and finish in virtual time, 10 ms a pass.
// Every seed is another workload and replays exactly.
class Workload {
 public:
  explicit Workload(std::uint32_t seed) : rng_(seed) {
    limits_ = {.batch_tokens_max = upto(16),
               .chunk_tokens_max = upto(16),
               .outputs_max = upto(8),
               .chunk_tokens_enough = upto(16)};
    slots_ = std::min({upto(8), limits_.batch_tokens_max, limits_.outputs_max});
    const int n = upto(12);
    for (int i = 0; i < n; ++i) {
      SeqView view = seq(static_cast<std::uint64_t>(i), upto(40), Priority::kNormal);
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
      row.view.tenant = &served_[row.tenant];
      row.view.tenant_served = served_[row.tenant];
      row.view.tenant_live =
          static_cast<std::int32_t>(std::ranges::count(live_, row.tenant, &Row::tenant));
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
    ASSERT_LE(chunk, limits_.chunk_tokens_max * 3 / 2) << "the end of a prompt is not cut off";
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
  std::vector<SeqView> live{seq(0, 20, kLow)};
  std::uint64_t next_id = 1;
  Instant now;
  for (int pass = 0; pass < passes_max; ++pass, now = now + std::chrono::milliseconds(10)) {
    for (int i = 0; i < 2; ++i) {
      live.push_back(seq(next_id++, 10, Priority::kHigh));
      live.back().arrived = now;
    }
    StepLimits free{8, 8, 60, 4, 4};
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
