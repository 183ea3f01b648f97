#include "base/cgroup.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

namespace choir {
namespace {

// Version 1 writes "no limit" as the largest page-aligned number; nothing real is near it.
constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 60;

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

// Nothing for "max", "-1" and anything else that is not a count.
std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  const auto line = first_line(path);
  return line ? number(*line) : std::nullopt;
}

std::uint64_t stat_value(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string name;
  std::uint64_t value = 0;
  while (file >> name >> value)
    if (name == key) return value;
  return 0;
}

// Where our cgroup of one hierarchy lies; controller "" is version 2.
struct Place {
  std::string controller;
  std::string path;
};

std::vector<Place> places(const std::string& root) {
  std::vector<Place> found;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:cpu,cpuacct:/a/b", "0::/a/b"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::stringstream names(line.substr(first + 1, second - first - 1));
    const std::string path = line.substr(second + 1);
    std::string name;
    while (std::getline(names, name, ',')) found.push_back({name, path});
    if (second == first + 1) found.push_back({"", path});
  }
  return found;
}

// Folders from our cgroup up to the top of the mount, which is always last.
std::vector<std::string> levels(const std::string& mount, std::string path) {
  std::vector<std::string> found;
  while (path.size() > 1) {
    found.push_back(mount + path);
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
  found.push_back(mount);
  return found;
}

void tighten_cores(CgroupLimits& limits, double quota, double period) {
  if (quota <= 0 || period <= 0) return;
  const double cores = quota / period;
  limits.cores = limits.cores > 0 ? std::min(limits.cores, cores) : cores;
}

void tighten_memory(CgroupLimits& limits, std::uint64_t limit, std::uint64_t used) {
  if (limit >= kUnlimited) return;
  const auto room = [](std::uint64_t all, std::uint64_t taken) {
    return all > taken ? all - taken : 0;
  };
  if (limits.memory_limit != 0 &&
      room(limits.memory_limit, limits.memory_used) <= room(limit, used))
    return;
  limits.memory_limit = limit;
  limits.memory_used = used;
}

// The kernel drops file cache before it runs out, so it is not "used"; weights read through mmap
// are file cache too, as they are in MemAvailable.
std::uint64_t without_cache(std::uint64_t charged, const std::string& stat,
                            std::string_view prefix) {
  const std::string name(prefix);
  const std::uint64_t cache =
      stat_value(stat, name + "inactive_file") + stat_value(stat, name + "active_file");
  return charged > cache ? charged - cache : 0;
}

void read_v2(CgroupLimits& limits, const std::string& level) {
  if (const auto line = first_line(level + "/cpu.max")) {  // "150000 100000" or "max 100000"
    std::istringstream words(*line);
    std::string quota;
    double period = 0;
    words >> quota >> period;
    tighten_cores(limits, static_cast<double>(number(quota).value_or(0)), period);
  }
  if (const auto limit = number_in(level + "/memory.max")) {
    const std::uint64_t charged = number_in(level + "/memory.current").value_or(0);
    tighten_memory(limits, *limit, without_cache(charged, level + "/memory.stat", ""));
  }
}

void read_v1_cpu(CgroupLimits& limits, const std::string& level) {
  const auto quota = number_in(level + "/cpu.cfs_quota_us");
  const auto period = number_in(level + "/cpu.cfs_period_us");
  tighten_cores(limits, static_cast<double>(quota.value_or(0)),
                static_cast<double>(period.value_or(0)));
}

void read_v1_memory(CgroupLimits& limits, const std::string& level) {
  if (const auto limit = number_in(level + "/memory.limit_in_bytes")) {
    const std::uint64_t charged = number_in(level + "/memory.usage_in_bytes").value_or(0);
    tighten_memory(limits, *limit, without_cache(charged, level + "/memory.stat", "total_"));
  }
}

}  // namespace

CgroupLimits read_cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  const std::string mounts = root + "/sys/fs/cgroup";
  for (const Place& place : places(root)) {
    if (place.controller.empty()) {
      for (const std::string& mount : {mounts, mounts + "/unified"})
        for (const std::string& level : levels(mount, place.path)) read_v2(limits, level);
    } else if (place.controller == "cpu") {
      for (const std::string& level : levels(mounts + "/cpu", place.path))
        read_v1_cpu(limits, level);
    } else if (place.controller == "memory") {
      for (const std::string& level : levels(mounts + "/memory", place.path))
        read_v1_memory(limits, level);
    }
  }
  return limits;
}

}  // namespace choir
