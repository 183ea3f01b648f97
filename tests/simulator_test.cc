// Seeded workloads over whole nodes in virtual time. More of them: choir-sim --seeds 1:100000.
#include "sim/simulator.h"

#include <gtest/gtest.h>

namespace choir::sim {
namespace {

SimReport run_seeds(std::uint32_t first, std::uint32_t last, SimOptions options) {
  SimReport sum;
  for (options.seed = first; options.seed <= last; ++options.seed) {
    const SimReport report = simulate(options);
    for (const std::string& what : report.broken) ADD_FAILURE() << what;
    sum.finished += report.finished;
    sum.resumed += report.resumed;
    sum.preemptions += report.preemptions;
    sum.aborts += report.aborts;
    sum.stalled += report.stalled;
    sum.reused_tokens += report.reused_tokens;
    sum.requests_moved += report.requests_moved;
    sum.unloads += report.unloads;
    sum.removals += report.removals;
    sum.nodes_ended += report.nodes_ended;
    sum.enqueued += report.enqueued;
    sum.waited_for_load += report.waited_for_load;
    sum.loads += report.loads;
    sum.loads_failed += report.loads_failed;
    sum.loads_given_up += report.loads_given_up;
    sum.unheld += report.unheld;
    sum.forgotten += report.forgotten;
  }
  return sum;
}

// A test in which nothing happens proves nothing.
void expect_that_all_happened(const SimReport& sum) {
  EXPECT_GT(sum.resumed, 0U);
  EXPECT_GT(sum.preemptions, 0U);
  EXPECT_GT(sum.aborts, 0U);
  EXPECT_GT(sum.stalled, 0U);
  EXPECT_GT(sum.reused_tokens, 0U);
  EXPECT_GT(sum.requests_moved, 0U);
  EXPECT_GT(sum.unloads, 0U);
  EXPECT_GT(sum.removals, 0U);
  EXPECT_GT(sum.nodes_ended, 0U);
  EXPECT_GT(sum.waited_for_load, 0U);
  EXPECT_GT(sum.enqueued, sum.waited_for_load);
  EXPECT_GT(sum.loads_failed, 0U);
  EXPECT_GT(sum.loads, sum.loads_failed + sum.loads_given_up);
  EXPECT_LT(sum.loads, sum.waited_for_load) << "several requests share a load";
  EXPECT_GT(sum.unheld, 0U);
  EXPECT_GT(sum.forgotten, 0U);
}

TEST(Simulator, NoRuleBreaksInAThousandWorkloads) {
  expect_that_all_happened(run_seeds(1, 1000, {}));
}

TEST(Simulator, NoRuleBreaksWhenPassesFail) {
  expect_that_all_happened(run_seeds(1, 500, {.faults = true}));
}

TEST(Simulator, NoRuleBreaksWhereNothingChanges) { run_seeds(1, 500, {.changes = false}); }

TEST(Simulator, TenantsThatAlwaysWantMoreAdvanceTogether) {
  EXPECT_GT(run_seeds(1, 50, {.kind = SimKind::kTenants}).finished, 0U);
}

TEST(Simulator, TheSameSeedGivesTheSameRun) {
  for (std::uint32_t seed = 1; seed <= 50; ++seed)
    ASSERT_EQ(describe(simulate({.seed = seed})), describe(simulate({.seed = seed})))
        << "seed " << seed;
}

}  // namespace
}  // namespace choir::sim
