// What every benchmark prints: a table for a person, or --json for a program; --check for CI's exit
// code. bench/report/report.py says the same for those written in Python.
#pragma once

#include <optional>
#include <string>
#include <string_view>
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

// One that has no peer.
Row row(std::string name, std::string unit, double value, std::optional<double> goal,
        Better better = Better::kLower);

struct Arguments {
  bool json = false;
  bool check = false;
  bool peers = true;
  std::vector<std::string> only;

  // Whether the load of this name is to run.
  bool wants(std::string_view load) const;
};
// kNamed: the benchmark has loads that --only chooses from. kBesidePeers: and peers that --no-peers
// leaves out.
enum class Loads : unsigned char { kAll, kNamed, kBesidePeers };

// Reads the arguments; ends the process at --help and at an argument that this benchmark has not.
Arguments parse(int argc, char** argv, const std::string& what, Loads loads = Loads::kAll);
// Prints; returns main()'s exit code.
int finish(const std::string& bench, const std::vector<Row>& rows, const Arguments& arguments);

double median(std::vector<double> values);
// The value that a share of all are at most.
double quantile(std::vector<double> values, double share);

}  // namespace choir::bench
