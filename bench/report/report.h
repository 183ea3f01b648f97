// What every benchmark prints: a table for a person, or --json for a program; --check for CI's exit
// code. bench/report/report.py says the same for those written in Python.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace choir::bench {

enum class Better : unsigned char { kHigher, kLower };

struct Row {
  std::string name;
  std::string unit;  // of choir and peer
  double choir = 0;
  std::optional<double> peer;  // measured in the same run
  std::string peer_name;
  std::optional<double> goal;       // for choir / peer where there is a peer, else for choir
  Better better = Better::kHigher;  // which side of the goal is good

  std::optional<double> ratio() const { return peer ? std::optional(choir / *peer) : std::nullopt; }
  bool ok() const;
};

// Reads --json, --check and --help; prints; returns main()'s exit code.
struct Arguments {
  bool json = false;
  bool check = false;
};
Arguments parse(int argc, char** argv, const std::string& what);
int finish(const std::string& bench, const std::vector<Row>& rows, const Arguments& arguments);

double median(std::vector<double> values);
// The value that a share of all are at most.
double quantile(std::vector<double> values, double share);

}  // namespace choir::bench
