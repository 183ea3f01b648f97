#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <sstream>
#include <string_view>

#include "choir/machine.h"
#include "choir/text.h"

namespace choir {
namespace {

using Level = Advice::Level;

// Two small models with their contexts take about half of this; below it the machine swaps.
constexpr std::uint64_t kMemoryWanted = std::uint64_t{2} << 30;

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

bool has(const Machine& machine, std::string_view feature) {
  return std::ranges::find(machine.cpu_features, feature) != machine.cpu_features.end();
}

bool names_word(const std::string& text, std::string_view word) {
  std::istringstream words(upper(text));
  for (std::string each; words >> each;)
    if (each == word) return true;
  return false;
}

std::string plural(std::size_t n, const std::string& noun) {
  return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

std::string decimal(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g", value);
  return text.data();
}

void on_cores(const Machine& m, std::vector<Advice>& advice) {
  const auto present = static_cast<std::size_t>(m.cores_present);
  const auto used = static_cast<std::size_t>(m.cores);
  advice.push_back(
      {Level::kOk, "Choir uses " + plural(used, "core") + " of " + std::to_string(present), ""});
  if (m.cpus_allowed.size() < present)
    advice.push_back({Level::kNote,
                      "the affinity mask allows " + std::to_string(m.cpus_allowed.size()) + " of " +
                          plural(present, "core"),
                      "start Choir without taskset, or with a wider CPU set"});
  if (m.cgroup_cores <= 0 || m.cgroup_cores >= static_cast<double>(present)) return;
  const std::string quota =
      "the cgroup allows " + decimal(m.cgroup_cores) + " of " + plural(present, "core");
  const auto next = static_cast<std::size_t>(std::ceil(m.cgroup_cores));
  if (m.cgroup_cores < 1)
    advice.push_back({Level::kProblem, quota + ", so Choir is stopped for part of every period",
                      "give it a whole core at least (--cpus=1)"});
  else if (m.cgroup_cores > std::floor(m.cgroup_cores))
    advice.push_back({Level::kNote, quota + ", of which the fraction stays unused",
                      "give it a whole number of cores (--cpus=" + std::to_string(next) + ")"});
  else
    advice.push_back({Level::kNote, quota, "raise the CPU limit of the container or the service"});
}

void on_memory(const Machine& m, std::vector<Advice>& advice) {
  const std::string free = bytes_text(m.memory_free()) + " of memory is free";
  if (m.memory_free() < kMemoryWanted)
    advice.push_back(
        {Level::kProblem,
         free + ", under the " + bytes_text(kMemoryWanted) + " that two small models want",
         "stop other programs, raise the memory limit, or take fewer and smaller models"});
  else
    advice.push_back({Level::kOk, free, ""});
  if (m.cgroup_memory_limit != 0 && m.cgroup_memory_limit < m.memory_bytes)
    advice.push_back({Level::kNote,
                      "the cgroup allows " + bytes_text(m.cgroup_memory_limit) +
                          " of the machine's " + bytes_text(m.memory_bytes) + " of memory",
                      "raise the memory limit of the container or the service for larger models"});
}

void on_cpu(const Machine& m, std::vector<Advice>& advice) {
  if (has(m, "asimd")) {  // 64-bit ARM
    if (!has(m, "asimddp"))
      advice.push_back({Level::kNote,
                        "this CPU has no dot product instructions, so quantized models run slowly",
                        "use a newer CPU if you can"});
    return;
  }
  if (!has(m, "avx2"))
    advice.push_back({Level::kProblem, "this CPU has no AVX2, for which all of Choir is compiled",
                      "use a machine with a newer CPU: no option of the build changes that"});
  else if (!has(m, "avx512_vnni") && !has(m, "avx_vnni"))
    advice.push_back({Level::kNote,
                      "this CPU has no VNNI, so quantized models run slower than they could",
                      "use a newer CPU if you can"});
}

// Which of the CPU's abilities the engine was built for. More than it has ends in SIGILL.
void on_engine(const Machine& m, const Version& version, std::vector<Advice>& advice) {
  struct Row {
    std::string_view cpu;
    std::string_view engine;
  };
  constexpr std::array<Row, 2> kRows = {{{"avx2", "AVX2"}, {"avx512f", "AVX512"}}};
  // Of a CPU without AVX2 all has been said, and no build helps.
  if (version.engine_features.empty() || !has(m, "avx2")) return;
  if (has(m, "amx_int8") && !names_word(version.engine_features, "AMX_INT8"))
    advice.push_back(
        {Level::kOk,
         "this CPU has AMX: our kernels may use it, the engine's are built without it, "
         "because g++ 12 breaks that code",
         ""});
  for (const Row& row : kRows) {
    const std::string name(row.engine);
    const bool built = names_word(version.engine_features, row.engine);
    if (built && !has(m, row.cpu))
      advice.push_back({Level::kProblem,
                        "the engine was built for " + name + ", which this CPU has not",
                        "build it on this machine, or with CHOIR_NATIVE=OFF"});
    if (!built && has(m, row.cpu))
      advice.push_back({Level::kNote,
                        "the engine was built without " + name + ", which this CPU has",
                        "build it on this machine with CHOIR_NATIVE=ON"});
  }
}

void on_build(const Version& version, std::vector<Advice>& advice) {
  const std::string compiler = upper(version.compiler);
  const auto built_with = [&](std::string_view word) {
    return compiler.find(word) != std::string::npos;
  };
  if (built_with("SANITIZE") || built_with("ASAN") || built_with("TSAN") || built_with("UBSAN"))
    advice.push_back({Level::kProblem,
                      "this is a sanitizer build, several times slower (" + version.compiler + ")",
                      "build with CMAKE_BUILD_TYPE=Release and no sanitizer"});
  else if (built_with("DEBUG"))
    advice.push_back({Level::kProblem,
                      "this is a debug build, many times slower (" + version.compiler + ")",
                      "build with CMAKE_BUILD_TYPE=Release"});
}

void on_kernels(const Version& version, std::vector<Advice>& advice) {
  if (version.kernels.starts_with("off"))
    advice.push_back({Level::kNote,
                      "our kernels are " + version.kernels +
                          "; the engine's own compute, several times slower, and results may "
                          "depend on what runs beside them",
                      "unset CHOIR_KERNELS, or use a CPU with AVX2"});
  else if (!version.kernels.empty())
    advice.push_back({Level::kOk, "our kernels compute, with " + upper(version.kernels), ""});
}

}  // namespace

std::vector<Advice> diagnose(const Machine& machine, const Version& version) {
  std::vector<Advice> advice;
  on_cores(machine, advice);
  on_memory(machine, advice);
  on_cpu(machine, advice);
  on_engine(machine, version, advice);
  on_build(version, advice);
  on_kernels(version, advice);
  return advice;
}

}  // namespace choir
