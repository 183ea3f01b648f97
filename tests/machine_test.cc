#include "base/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "base/cgroup.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::Not;

using Files = std::vector<std::pair<std::string, std::string>>;

void lay_out(const TempFolder& root, const Files& files) {
  for (const auto& [name, text] : files) root.write(name, text);
}

struct CgroupCase {
  std::string name;
  Files files;
  CgroupLimits want;
};
void PrintTo(const CgroupCase& c, std::ostream* out) { *out << c.name; }

class Cgroup : public testing::TestWithParam<CgroupCase> {};

TEST_P(Cgroup, Gives) {
  const TempFolder root;
  lay_out(root, GetParam().files);
  const CgroupLimits got = read_cgroup_limits(root.path());
  const CgroupLimits& want = GetParam().want;
  EXPECT_DOUBLE_EQ(got.cores, want.cores);
  EXPECT_EQ(got.memory_limit, want.memory_limit);
  EXPECT_EQ(got.memory_used, want.memory_used);
}

const std::string kTop = "sys/fs/cgroup/";

const CgroupCase kCgroupCases[] = {
    {"NoFilesNoLimits", {}, {}},
    {"V2SaysMax",
     {{"proc/self/cgroup", "0::/\n"},
      {kTop + "cpu.max", "max 100000\n"},
      {kTop + "memory.max", "max\n"}},
     {}},
    {"V2Quota",
     {{"proc/self/cgroup", "0::/a\n"}, {kTop + "a/cpu.max", "150000 100000\n"}},
     {.cores = 1.5}},
    {"V2TightestMayBeAbove",
     {{"proc/self/cgroup", "0::/a/b\n"},
      {kTop + "a/cpu.max", "100000 100000\n"},
      {kTop + "a/b/cpu.max", "400000 100000\n"}},
     {.cores = 1}},
    {"V2TightestMayBeOurs",
     {{"proc/self/cgroup", "0::/a/b\n"},
      {kTop + "a/cpu.max", "400000 100000\n"},
      {kTop + "a/b/cpu.max", "100000 100000\n"}},
     {.cores = 1}},
    {"V2PathOutsideTheMountFallsBackToItsTop",
     {{"proc/self/cgroup", "0::/docker/cafe\n"}, {kTop + "cpu.max", "200000 100000\n"}},
     {.cores = 2}},
    {"V2MemoryWithoutItsFileCache",
     {{"proc/self/cgroup", "0::/a\n"},
      {kTop + "a/memory.max", "1000\n"},
      {kTop + "a/memory.current", "900\n"},
      {kTop + "a/memory.stat", "anon 400\ninactive_file 300\nactive_file 200\n"}},
     {.memory_limit = 1000, .memory_used = 400}},
    {"V2LevelWithTheLeastRoomCounts",
     {{"proc/self/cgroup", "0::/a/b\n"},
      {kTop + "a/memory.max", "5000\n"},
      {kTop + "a/memory.current", "4900\n"},
      {kTop + "a/b/memory.max", "1000\n"},
      {kTop + "a/b/memory.current", "10\n"}},
     {.memory_limit = 5000, .memory_used = 4900}},
    {"V1QuotaAndMemory",
     {{"proc/self/cgroup", "4:cpu,cpuacct:/x\n3:memory:/x\n"},
      {kTop + "cpu/x/cpu.cfs_quota_us", "50000\n"},
      {kTop + "cpu/x/cpu.cfs_period_us", "100000\n"},
      {kTop + "memory/x/memory.limit_in_bytes", "1000\n"},
      {kTop + "memory/x/memory.usage_in_bytes", "600\n"},
      {kTop + "memory/x/memory.stat",
       "inactive_file 1\ntotal_inactive_file 100\ntotal_active_file 50\n"}},
     {.cores = 0.5, .memory_limit = 1000, .memory_used = 450}},
    {"V1WithoutLimits",
     {{"proc/self/cgroup", "4:cpu:/\n3:memory:/\n"},
      {kTop + "cpu/cpu.cfs_quota_us", "-1\n"},
      {kTop + "cpu/cpu.cfs_period_us", "100000\n"},
      {kTop + "memory/memory.limit_in_bytes", "9223372036854771712\n"}},
     {}},
    {"HybridHasVersion2AtItsOwnMount",
     {{"proc/self/cgroup", "1:name=systemd:/\n0::/u\n"},
      {kTop + "unified/u/cpu.max", "300000 100000\n"}},
     {.cores = 3}},
    {"RubbishIsNoLimit",
     {{"proc/self/cgroup", "\n::::\nnonsense\n0::/a\n"},
      {kTop + "a/cpu.max", "lots of it\n"},
      {kTop + "a/memory.max", "-7\n"}},
     {}},
};
INSTANTIATE_TEST_SUITE_P(, Cgroup, testing::ValuesIn(kCgroupCases),
                         [](const auto& c) { return c.param.name; });

constexpr const char* kCpuInfo =
    "processor\t: 0\nmodel name\t: Fast CPU\nflags\t\t: fpu avx avx2 fma avx512_vnni\n\n"
    "processor\t: 1\nmodel name\t: Fast CPU\nflags\t\t: fpu avx avx2 fma avx512_vnni\n\n"
    "processor\t: 2\nprocessor\t: 3\n";
constexpr const char* kMemInfo =
    "MemTotal:       8000 kB\nMemFree: 1 kB\nMemAvailable:   6000 kB\n";

TEST(ReadMachine, TakesEachThingFromItsFile) {
  const TempFolder root;
  lay_out(root, {{"proc/cpuinfo", kCpuInfo}, {"proc/meminfo", kMemInfo}});
  const Machine machine = read_machine_under(root.path(), {0, 1, 2});
  EXPECT_EQ(machine, (Machine{.cpu = "Fast CPU",
                              .cpus_allowed = {0, 1, 2},
                              .cores_present = 4,
                              .cores = 3,
                              .memory_bytes = 8000 * 1024,
                              .memory_available = 6000 * 1024,
                              .cpu_features = {"avx", "fma", "avx2", "avx512_vnni"}}));
}

TEST(ReadMachine, NeverHasFewerCoresThanOne) {
  const TempFolder root;
  EXPECT_EQ(read_machine_under(root.path(), {}).cores, 1);
  lay_out(root, {{"proc/cpuinfo", kCpuInfo},
                 {"proc/self/cgroup", "0::/\n"},
                 {kTop + "cpu.max", "20000 100000\n"}});
  EXPECT_EQ(read_machine_under(root.path(), {0, 1}).cores, 1);
}

TEST(ReadMachine, RoundsAQuotaDown) {
  const TempFolder root;
  lay_out(root, {{"proc/cpuinfo", kCpuInfo},
                 {"proc/self/cgroup", "0::/\n"},
                 {kTop + "cpu.max", "290000 100000\n"}});
  EXPECT_EQ(read_machine_under(root.path(), {0, 1, 2, 3}).cores, 2);
}

TEST(ReadMachine, WithoutAMaskAllCoresAreAllowed) {
  const TempFolder root;
  lay_out(root, {{"proc/cpuinfo", kCpuInfo}});
  EXPECT_THAT(read_machine_under(root.path(), {}).cpus_allowed, ElementsAre(0, 1, 2, 3));
}

TEST(ReadMachine, ReadsThisOne) {
  const Machine machine = read_machine();
  EXPECT_GE(machine.cores, 1);
  EXPECT_LE(machine.cores, machine.cores_present);
  EXPECT_GT(machine.memory_bytes, machine.memory_free());
  EXPECT_FALSE(machine.cpu.empty());
}

TEST(MemoryFree, IsTheSmallerOfMachineAndCgroup) {
  Machine machine;
  machine.memory_available = 1000;
  EXPECT_EQ(machine.memory_free(), 1000u);
  machine.cgroup_memory_limit = 700;
  machine.cgroup_memory_used = 200;
  EXPECT_EQ(machine.memory_free(), 500u);
  machine.cgroup_memory_used = 900;  // above its limit, for a moment
  EXPECT_EQ(machine.memory_free(), 0u);
  machine.cgroup_memory_limit = 7000;
  EXPECT_EQ(machine.memory_free(), 1000u);
}

Machine good_machine() {
  return {.cpu = "Fast CPU",
          .cpus_allowed = {0, 1, 2, 3},
          .cores_present = 4,
          .cores = 4,
          .memory_bytes = std::uint64_t{8} << 30,
          .memory_available = std::uint64_t{6} << 30,
          .cpu_features = {"avx2", "avx512f", "avx512_vnni"}};
}
const Version kGoodVersion = {.choir = "0.1.0",
                              .engine = "b1",
                              .compiler = "GNU 12.2.0 Release",
                              .engine_features = "AVX2 AVX512 AVX512_VNNI",
                              .kernels = "avx512"};

struct AdviceCase {
  std::string name;
  void (*change)(Machine&, Version&);
  Advice::Level level;
  std::string says;
};
void PrintTo(const AdviceCase& c, std::ostream* out) { *out << c.name; }

class Diagnose : public testing::TestWithParam<AdviceCase> {};

TEST_P(Diagnose, Says) {
  Machine machine = good_machine();
  Version version = kGoodVersion;
  GetParam().change(machine, version);
  EXPECT_THAT(diagnose(machine, version),
              Contains(AllOf(Field(&Advice::level, GetParam().level),
                             Field(&Advice::what, HasSubstr(GetParam().says)),
                             Field(&Advice::remedy, Not(testing::IsEmpty())))));
}

constexpr auto kNote = Advice::Level::kNote;
constexpr auto kProblem = Advice::Level::kProblem;

const AdviceCase kAdviceCases[] = {
    {"Affinity", [](Machine& m, Version&) { m.cpus_allowed = {2}; }, kNote,
     "mask allows 1 of 4 cores"},
    {"WholeQuota", [](Machine& m, Version&) { m.cgroup_cores = 2; }, kNote,
     "cgroup allows 2 of 4 cores"},
    {"FractionOfQuota", [](Machine& m, Version&) { m.cgroup_cores = 1.5; }, kNote,
     "allows 1.5 of 4 cores, of which the fraction stays unused"},
    {"LessThanACore", [](Machine& m, Version&) { m.cgroup_cores = 0.25; }, kProblem,
     "allows 0.25 of 4"},
    {"LittleMemory", [](Machine& m, Version&) { m.memory_available = 1'500'000'000; }, kProblem,
     "1.5 GB of memory is free"},
    {"CgroupMemory", [](Machine& m, Version&) { m.cgroup_memory_limit = 4'000'000'000; }, kNote,
     "the cgroup allows 4.0 GB of the machine's 8.6 GB"},
    {"NoAvx2", [](Machine& m, Version&) { m.cpu_features = {"avx"}; }, kProblem, "no AVX2"},
    {"NoVnni",
     [](Machine& m, Version&) {
       m.cpu_features = {"avx2", "avx512f"};
     },
     kNote, "no VNNI"},
    {"ArmWithoutDotProduct", [](Machine& m, Version&) { m.cpu_features = {"asimd"}; }, kNote,
     "no dot product"},
    {"EngineBuiltForMore",
     [](Machine& m, Version&) {
       m.cpu_features = {"avx2", "avx_vnni"};
     },
     kProblem, "built for AVX512, which this CPU has not"},
    {"EngineBuiltForLess", [](Machine&, Version& v) { v.engine_features = "AVX2"; }, kNote,
     "built without AVX512"},
    {"DebugBuild", [](Machine&, Version& v) { v.compiler = "GNU 12.2.0 Debug"; }, kProblem,
     "debug build"},
    {"SanitizerBuild",
     [](Machine&, Version& v) { v.compiler = "GNU 12.2.0 Debug -fsanitize=address"; }, kProblem,
     "sanitizer build"},
    {"KernelsOff", [](Machine&, Version& v) { v.kernels = "off (CHOIR_KERNELS=off)"; }, kNote,
     "our kernels are off (CHOIR_KERNELS=off)"},
};
INSTANTIATE_TEST_SUITE_P(, Diagnose, testing::ValuesIn(kAdviceCases),
                         [](const auto& c) { return c.param.name; });

TEST(DiagnoseOldCpu, IsToldOfNoOptionThatCannotHelp) {
  Machine machine = good_machine();
  machine.cpu_features = {"avx"};
  for (const char* features : {"AVX2", "AVX2 AVX512", ""}) {
    Version version = kGoodVersion;
    version.engine_features = features;
    EXPECT_THAT(diagnose(machine, version),
                Each(Field(&Advice::remedy, Not(HasSubstr("CHOIR_NATIVE")))));
  }
}

TEST(DiagnoseAmx, SaysWhyNothingUsesIt) {
  Machine machine = good_machine();
  machine.cpu_features.emplace_back("amx_int8");
  const auto says =
      Contains(AllOf(Field(&Advice::level, Advice::Level::kOk),
                     Field(&Advice::what, HasSubstr("has AMX: our kernels may use it"))));
  EXPECT_THAT(diagnose(machine, kGoodVersion), says);
  Version other = kGoodVersion;
  other.engine_features += " AMX_INT8";
  EXPECT_THAT(diagnose(machine, other), Not(says));
}

TEST(DiagnoseGoodMachine, HasNothingToRemedy) {
  EXPECT_THAT(diagnose(good_machine(), kGoodVersion),
              Each(AllOf(Field(&Advice::level, Advice::Level::kOk), Field(&Advice::remedy, ""))));
}

}  // namespace
}  // namespace choir
