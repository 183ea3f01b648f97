// choir-sim: runs seeded workloads over whole nodes in virtual time and says what broke.
//
//   choir-sim --seeds 1:5000 [--faults] [--tenants] [--quiet]
#include <CLI/CLI.hpp>
#include <cstdio>

#include "sim/simulator.h"

int main(int argc, char** argv) {
  CLI::App app("Simulates workloads over Choir's nodes in virtual time");
  std::string seeds = "1:1000";
  bool faults = false;
  bool tenants = false;
  bool quiet = false;
  app.add_option("--seeds", seeds, "first:last, each a workload of its own")->capture_default_str();
  app.add_flag("--faults", faults, "passes fail, cells vanish");
  app.add_flag("--tenants", tenants, "one executor whose tenants always want more");
  app.add_flag("--quiet", quiet, "only what broke, and the sum");
  CLI11_PARSE(app, argc, argv);
  unsigned first = 0;
  unsigned last = 0;
  if (std::sscanf(seeds.c_str(), "%u:%u", &first, &last) != 2 || first > last) {
    std::fprintf(stderr, "choir-sim: --seeds is '%s', wanted first:last\n", seeds.c_str());
    return 2;
  }
  unsigned bad = 0;
  unsigned long steps = 0;
  for (unsigned seed = first; seed <= last; ++seed) {
    const auto report = choir::sim::simulate(
        {.seed = seed,
         .kind = tenants ? choir::sim::SimKind::kTenants : choir::sim::SimKind::kRandom,
         .faults = faults});
    steps += report.steps;
    if (!quiet) std::printf("seed %u: %s\n", seed, choir::sim::describe(report).c_str());
    for (const std::string& what : report.broken) std::printf("BROKEN %s\n", what.c_str());
    bad += report.broken.empty() ? 0 : 1;
  }
  std::printf("%u workloads, %lu steps, %u broken\n", last - first + 1, steps, bad);
  return bad == 0 ? 0 : 1;
}
