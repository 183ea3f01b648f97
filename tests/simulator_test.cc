// Seeded workloads over the real scheduler in virtual time. More of them: choir-sim --seeds
// 1:100000.
#include "sim/simulator.h"

#include <gtest/gtest.h>

namespace choir::sim {
namespace {

void run_seeds(std::uint32_t first, std::uint32_t last, bool faults) {
  std::uint64_t migrated = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t aborts = 0;
  std::uint64_t reused = 0;
  for (std::uint32_t seed = first; seed <= last; ++seed) {
    const SimReport report = simulate({.seed = seed, .faults = faults});
    for (const std::string& what : report.broken) ADD_FAILURE() << what;
    migrated += report.migrated;
    preemptions += report.preemptions;
    aborts += report.aborts;
    reused += report.reused_tokens;
  }
  // A test in which nothing happens proves nothing.
  EXPECT_GT(migrated, 0U);
  EXPECT_GT(preemptions, 0U);
  EXPECT_GT(aborts, 0U);
  EXPECT_GT(reused, 0U);
}

TEST(Simulator, NoRuleBreaksInTwoThousandWorkloads) { run_seeds(1, 2000, /*faults=*/false); }

TEST(Simulator, NoRuleBreaksWhenPassesFail) { run_seeds(1, 1000, /*faults=*/true); }

TEST(Simulator, TheSameSeedGivesTheSameRun) {
  for (std::uint32_t seed = 1; seed <= 50; ++seed)
    ASSERT_EQ(describe(simulate({.seed = seed})), describe(simulate({.seed = seed})))
        << "seed " << seed;
}

}  // namespace
}  // namespace choir::sim
