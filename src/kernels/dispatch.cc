#include "kernels/dispatch.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/log.h"
#include "choir/text.h"
#include "kernels/takeover.h"

namespace choir::kernels {
namespace {

bool cpu_has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

// Asks Linux for the tiles' state, for all threads of the process, those that exist as well.
bool tiles_are_permitted() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool cpu_has_amx() {  // GCC 12 has no names for it
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kTile = 1U << 24;
  constexpr unsigned kInt8 = 1U << 25;
  return cpu_has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kTile) != 0 &&
         (d & kInt8) != 0 && tiles_are_permitted();
}

bool cpu_has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");  // F16C came before
}

bool cpu_has_avx_vnni() {  // GCC 12 has no name for it
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return cpu_has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4)) != 0;
}

constexpr std::string_view kNotThere = ", which this CPU or build does not have";

std::string wanted_path() {
  const char* set = std::getenv("CHOIR_KERNELS");
  return set == nullptr ? "" : set;
}

constexpr Path kPaths[] = {{"amx", cpu_has_amx, amx_table},
                           {"avx512", cpu_has_avx512, avx512_table},
                           {"avx-vnni", cpu_has_avx_vnni, avx_vnni_table},
                           {"avx2", cpu_has_avx2, avx2_table}};

}  // namespace

const KernelTable* first_that_runs(std::span<const Path> paths, std::string_view wanted) {
  if (wanted == "off") return nullptr;
  for (const Path& path : paths)
    if ((wanted.empty() || wanted == path.name) && path.runs())
      if (const KernelTable* table = path.table()) return table;
  return nullptr;
}

const KernelTable* active_table() {
  static const KernelTable* const table = first_that_runs(kPaths, wanted_path());
  return table;
}

std::string path_text() {
  if (active_table() != nullptr) return active_table()->name;
  const std::string wanted = wanted_path();
  if (wanted.empty()) return "off (this CPU has no AVX2)";
  return "off (CHOIR_KERNELS=" + printable_line(wanted, 60) +
         std::string(wanted == "off" ? "" : kNotThere) + ")";
}

void warn_of_unknown_path() {
  static const bool once = [] {
    const std::string wanted = wanted_path();
    if (active_table() != nullptr || wanted.empty() || wanted == "off") return false;
    log(LogLevel::kWarn,
        "CHOIR_KERNELS is '" + printable_line(wanted, 60) + "'" + std::string(kNotThere) +
            "; it takes off, avx2, avx-vnni, avx512 or amx. The engine's own kernels "
            "compute.");
    return true;
  }();
  (void)once;
}

}  // namespace choir::kernels
