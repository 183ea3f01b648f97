// What this process may use of the machine, and advice about it: `choir doctor`.
//
// Threads: any thread may call. read_machine() reads a few small files; the other calls do not
// block.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choir/export.h"

namespace choir {

struct Machine {
  std::string cpu;                // model name
  std::vector<int> cpus_allowed;  // the CPUs in the affinity mask of this process
  int cores_present = 0;
  double cgroup_cores = 0;                // smallest CPU quota of our cgroups; 0: no quota
  int cores = 0;                          // what Choir uses: least of the above, at least 1
  std::uint64_t memory_bytes = 0;         // memory of the machine
  std::uint64_t memory_available = 0;     // MemAvailable of /proc/meminfo
  std::uint64_t cgroup_memory_limit = 0;  // 0: no limit
  std::uint64_t cgroup_memory_used = 0;
  std::vector<std::string> cpu_features;  // those that matter here: "avx2", "avx512_vnni", ...
  bool operator==(const Machine&) const = default;

  // Bytes that both the machine and the cgroup could give at the moment of reading.
  std::uint64_t memory_free() const;
};

// Reads the affinity mask, the cgroups (v1 and v2) and /proc. Never fails: a limit that cannot be
// read counts as no limit.
CHOIR_API Machine read_machine();

struct Version {
  std::string choir;   // "0.1.0"
  std::string engine;  // release tag and commit of llama.cpp
  std::string compiler;
  std::string engine_features;  // CPU features that ggml was built for: "AVX512 VNNI ..."
  std::string kernels;          // which of our kernels run: "avx512"; or "off (reason)"
};
CHOIR_API Version version();

struct Advice {
  enum class Level : std::uint8_t { kOk, kNote, kProblem };
  Level level = Level::kOk;
  std::string what;    // one sentence
  std::string remedy;  // what to do about it; empty for kOk
};

// Advice for a person about this machine. Pure.
CHOIR_API std::vector<Advice> diagnose(const Machine& machine, const Version& version);

}  // namespace choir
