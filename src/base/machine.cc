#include "base/machine.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <memory>
#include <sstream>
#include <string_view>

#include "base/cgroup.h"

namespace choir {
namespace {

constexpr int kCpusMax = 65'536;  // where the search for a large enough mask gives up

// What decides which kernels run; in the order in which they are shown.
constexpr std::array<std::string_view, 16> kFeatures = {
    "avx",      "f16c",        "fma",         "avx2",     "avx_vnni", "avx512f",
    "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "asimd",
    "asimddp",  "i8mm",        "sve",         "sve2"};

std::vector<int> affinity() {
  for (int cpus = 1024; cpus <= kCpusMax;
       cpus *= 2) {  // the kernel refuses a mask that is too short
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
        CPU_ALLOC(static_cast<std::size_t>(cpus)), [](cpu_set_t* m) { CPU_FREE(m); });
    const std::size_t size = CPU_ALLOC_SIZE(cpus);
    if (sched_getaffinity(0, size, mask.get()) != 0) {
      if (errno == EINVAL) continue;
      return {};
    }
    std::vector<int> allowed;
    for (int cpu = 0; cpu < cpus; ++cpu)
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), size, mask.get())) allowed.push_back(cpu);
    return allowed;
  }
  return {};
}

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

std::vector<std::string> features_in(const std::string& flags) {
  std::istringstream words(flags);
  std::vector<std::string> all;
  for (std::string word; words >> word;) all.push_back(word);
  std::vector<std::string> found;
  for (const std::string_view wanted : kFeatures)
    if (std::ranges::find(all, wanted) != all.end()) found.emplace_back(wanted);
  return found;
}

void read_cpuinfo(const std::string& path, Machine& machine) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = trimmed(std::string_view(line).substr(0, colon));
    const std::string value = trimmed(std::string_view(line).substr(colon + 1));
    if (key == "processor") ++machine.cores_present;
    if ((key == "model name" || key == "Model") && machine.cpu.empty()) machine.cpu = value;
    if ((key == "flags" || key == "Features") && machine.cpu_features.empty())
      machine.cpu_features = features_in(value);
  }
  if (machine.cpu.empty()) machine.cpu = "unknown";
}

void read_meminfo(const std::string& path, Machine& machine) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {  // "MemTotal:       24689372 kB"
    std::istringstream words(line);
    std::string key;
    std::uint64_t kib = 0;
    words >> key >> kib;
    if (key == "MemTotal:") machine.memory_bytes = kib * 1024;
    if (key == "MemAvailable:") machine.memory_available = kib * 1024;
  }
}

// Rounded down: a thread above the quota is stopped for the rest of each period, in the middle of
// a matrix product that its neighbours wait for.
int usable_cores(const Machine& machine) {
  int cores = static_cast<int>(machine.cpus_allowed.size());
  if (machine.cores_present > 0) cores = std::min(cores, machine.cores_present);
  if (machine.cgroup_cores > 0) {
    const double whole = std::floor(std::min(machine.cgroup_cores, double{kCpusMax}));
    cores = std::min(cores, static_cast<int>(whole));
  }
  return std::max(1, cores);
}

}  // namespace

std::uint64_t Machine::memory_free() const {
  if (cgroup_memory_limit == 0) return memory_available;
  const std::uint64_t room =
      cgroup_memory_limit > cgroup_memory_used ? cgroup_memory_limit - cgroup_memory_used : 0;
  return std::min(memory_available, room);
}

Machine read_machine_under(const std::string& root, std::vector<int> cpus_allowed) {
  Machine machine;
  read_cpuinfo(root + "/proc/cpuinfo", machine);
  read_meminfo(root + "/proc/meminfo", machine);
  machine.cpus_allowed = std::move(cpus_allowed);
  // What cannot be read counts as not limited.
  if (machine.cores_present == 0)
    machine.cores_present = static_cast<int>(machine.cpus_allowed.size());
  if (machine.cpus_allowed.empty())
    for (int cpu = 0; cpu < machine.cores_present; ++cpu) machine.cpus_allowed.push_back(cpu);
  const CgroupLimits limits = read_cgroup_limits(root);
  machine.cgroup_cores = limits.cores;
  machine.cgroup_memory_limit = limits.memory_limit;
  machine.cgroup_memory_used = limits.memory_used;
  machine.cores = usable_cores(machine);
  return machine;
}

Machine read_machine() { return read_machine_under("", affinity()); }

}  // namespace choir
