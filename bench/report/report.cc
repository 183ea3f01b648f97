#include "bench/report/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "choir/machine.h"

namespace choir::bench {

Row row(std::string name, std::string unit, double value, std::optional<double> goal,
        Better better) {
  return {.name = std::move(name),
          .unit = std::move(unit),
          .choir = value,
          .peer = {},
          .peer_name = "",
          .goal = goal,
          .better = better};
}

bool Row::ok() const {
  if (!goal) return true;
  const double value = ratio().value_or(choir);
  return better == Better::kHigher ? value >= *goal : value <= *goal;
}

bool Arguments::wants(std::string_view load) const {
  return only.empty() || std::ranges::any_of(only, [&](const std::string& part) {
           return load.find(part) != std::string_view::npos;
         });
}

Arguments parse(int argc, char** argv, const std::string& what, Loads loads) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--json") {
      arguments.json = true;
    } else if (word == "--check") {
      arguments.check = true;
    } else if (word == "--only" && loads != Loads::kAll && i + 1 < argc) {
      arguments.only.emplace_back(argv[++i]);
    } else if (word == "--no-peers" && loads == Loads::kBesidePeers) {
      arguments.peers = false;
    } else {
      std::fprintf(stderr,
                   "%s\n  --json       print JSON\n"
                   "  --check      exit 1 when a row misses its goal\n%s%s",
                   what.c_str(),
                   loads == Loads::kAll
                       ? ""
                       : "  --only TEXT  loads whose name has this in it; may be repeated\n",
                   loads != Loads::kBesidePeers ? "" : "  --no-peers   Choir's own figures only\n");
      std::exit(word == "--help" ? 0 : 2);
    }
  }
  return arguments;
}

int finish(const std::string& bench, const std::vector<Row>& rows, const Arguments& arguments) {
  const Machine machine = read_machine();
  const std::string where = machine.cpu + ", " + std::to_string(machine.cores) + " cores";
  bool all_ok = true;
  nlohmann::json table = nlohmann::json::array();
  if (!arguments.json) {
    std::printf("%s on %s\n%-46s %10s %10s %8s %8s %-7s %s\n", bench.c_str(), where.c_str(), "",
                "choir", "peer", "ratio", "goal", "", "unit, peer");
  }
  for (const Row& row : rows) {
    all_ok = all_ok && row.ok();
    const auto number = [](std::optional<double> v) {
      return v ? nlohmann::json(*v) : nlohmann::json();
    };
    table.push_back({{"name", row.name},
                     {"unit", row.unit},
                     {"choir", row.choir},
                     {"peer", number(row.peer)},
                     {"peer_name", row.peer_name},
                     {"ratio", number(row.ratio())},
                     {"goal", number(row.goal)},
                     {"better", row.better == Better::kHigher ? "higher" : "lower"},
                     {"ok", row.ok()}});
    if (arguments.json) continue;
    const auto cell = [](std::optional<double> v) {
      char text[32] = "";
      if (v) std::snprintf(text, sizeof(text), std::fabs(*v) >= 100 ? "%.0f" : "%.2f", *v);
      return std::string(text);
    };
    const std::string goal =
        row.goal ? (row.better == Better::kHigher ? ">=" : "<=") + cell(row.goal) : "";
    std::printf("%-46s %10s %10s %8s %8s %-7s %s%s%s\n", row.name.c_str(), cell(row.choir).c_str(),
                cell(row.peer).c_str(), cell(row.ratio()).c_str(), goal.c_str(),
                !row.goal  ? ""
                : row.ok() ? "ok"
                           : "MISSED",
                row.unit.c_str(), row.peer_name.empty() ? "" : ", ", row.peer_name.c_str());
  }
  if (arguments.json)
    std::printf(
        "%s\n",
        nlohmann::json{{"bench", bench}, {"machine", where}, {"rows", table}}.dump(2).c_str());
  return arguments.check && !all_ok ? 1 : 0;
}

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto last = static_cast<double>(values.size() - 1);
  return values[static_cast<std::size_t>(std::ceil(share * last))];
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

}  // namespace choir::bench
