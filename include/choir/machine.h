// What this process may use of the machine, and what is wrong with it: `choir doctor`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choir/export.h"

namespace choir {

struct Machine {
  std::string cpu;                // model name
  std::vector<int> cpus_allowed;  // by the affinity mask
  int cores_present = 0;
  double cgroup_cores = 0;                // cpu.max quota of all cgroups above us; 0 is none
  int cores = 0;                          // what Choir uses: min of the above, at least 1
  std::uint64_t memory_bytes = 0;         // of the machine
  std::uint64_t memory_available = 0;     // MemAvailable
  std::uint64_t cgroup_memory_limit = 0;  // 0 is none
  std::uint64_t cgroup_memory_used = 0;
  std::vector<std::string> cpu_features;  // of those that matter: "avx2", "avx512_vnni", ...
  bool operator==(const Machine&) const = default;

  // Bytes that machine and cgroup could give right now.
  std::uint64_t memory_free() const;
};

// Reads affinity, cgroup v1/v2, /proc. Never fails: what cannot be read counts as not limited.
CHOIR_API Machine read_machine();

struct Version {
  std::string choir;   // "0.1.0"
  std::string engine;  // release tag and commit of llama.cpp
  std::string compiler;
  std::string engine_features;  // what ggml was built for: "AVX512 VNNI ..."
  std::string kernels;          // of ours, which this CPU runs: "avx512"; "off (...)" says why none
};
CHOIR_API Version version();

struct Advice {
  enum class Level : std::uint8_t { kOk, kNote, kProblem };
  Level level = Level::kOk;
  std::string what;    // one sentence
  std::string remedy;  // what to do; empty for kOk
};

// What is worth telling a person about this machine. Pure.
CHOIR_API std::vector<Advice> diagnose(const Machine& machine, const Version& version);

}  // namespace choir
