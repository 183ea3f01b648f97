// What the cgroups above this process allow, versions 1, 2 and both at once (hybrid).
//
// Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux.
#pragma once

#include <cstdint>
#include <string>

namespace choir {

struct CgroupLimits {
  double cores = 0;                // the tightest CPU quota of all levels; 0 is none
  std::uint64_t memory_limit = 0;  // of the level with the least room left; 0 is none
  std::uint64_t memory_used = 0;   // of that level, without its file cache, as in MemAvailable
  bool operator==(const CgroupLimits&) const = default;
};

// Reads ROOT/proc/self/cgroup and the files under ROOT/sys/fs/cgroup; `root` is "" outside tests.
// Every level counts, from ours to the mount's top: a container often sees only its own top, and
// a path that does not exist under the mount is then simply skipped. Never fails.
CgroupLimits read_cgroup_limits(const std::string& root);

}  // namespace choir
