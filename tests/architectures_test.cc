// Every architecture that the engine's own test generator can make, with random weights, each in a
// process of its own: it is computed as promised, or refused in a sentence, and nothing ends the
// process. tests/architectures/one.cc is what is asked of each.
#include <gtest/gtest.h>

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/partly.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

struct End {
  int status = 0;  // as waitpid gives it
  std::string output;
};

End run(const std::string& command) {
  End end;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return {-1, "no pipe"};
  std::array<char, 4096> block{};
  for (std::size_t got = 0; (got = std::fread(block.data(), 1, block.size(), pipe)) > 0;)
    end.output.append(block.data(), got);
  end.status = ::pclose(pipe);
  return end;
}

std::string result_in(const std::string& output) {
  const std::size_t at = output.find("RESULT ");
  return at == std::string::npos ? "" : output.substr(at + 7, output.find('\n', at) - at - 7);
}

// Counts what a child left out (tests/partly.h).
void add_left_out(const std::string& output, std::map<std::string, int>& left_out) {
  const std::string mark = "[ PARTLY   ] ";
  std::set<std::string> reasons;
  for (std::size_t at = output.find(mark); at != std::string::npos; at = output.find(mark, at)) {
    at += mark.size();
    reasons.insert(output.substr(at, output.find('\n', at) - at));
  }
  for (const std::string& reason : reasons) ++left_out[reason];
}

struct Tried {
  std::string name;
  End end;
};

// Two at a time: each computes on one thread.
std::vector<Tried> try_all(const std::vector<std::string>& files, const std::string& kernels) {
  std::vector<Tried> tried(files.size());
  std::atomic<std::size_t> next{0};
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const auto work = [&] {
    for (std::size_t i = next++; i < files.size(); i = next++) {
      tried[i].name = std::filesystem::path(files[i]).stem();
      tried[i].end = run(kernels + " GGML_NO_BACKTRACE=1 CHOIR_CACHE='" +
                         std::filesystem::path(files[i]).parent_path().string() +
                         "' CHOIR_ARCHITECTURE='" + files[i] + "' timeout 120 '" + self +
                         "' --gtest_also_run_disabled_tests --gtest_filter='OneArchitecture.*'");
    }
  };
  std::thread other(work);
  work();
  other.join();
  return tried;
}

class Architectures : public testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    folder = new TempFolder;
    const End made =
        run(std::string("'") + CHOIR_ARCHITECTURES_MAKER + "' -s 1 -o '" + folder->path() + "'");
    EXPECT_EQ(made.status, 0) << made.output;
    for (const auto& entry : std::filesystem::directory_iterator(folder->path()))
      if (entry.path().extension() == ".gguf") files.push_back(entry.path());
    std::ranges::sort(files);
  }
  static void TearDownTestSuite() { delete folder; }
  static inline TempFolder* folder = nullptr;
  static inline std::vector<std::string> files;
};

TEST_P(Architectures, AreComputedAsPromisedOrRefusedInASentence) {
  EXPECT_GE(files.size(), 120U);
  int computed = 0;
  std::map<std::string, int> left_out;
  for (const Tried& one : try_all(files, GetParam())) {
    const std::string result = result_in(one.end.output);
    const bool died = result.find("crashed on it") != std::string::npos;  // in choir-probe
    computed += result.starts_with("computed") ? 1 : 0;
    EXPECT_TRUE(one.end.status == 0 && !result.empty() && !died)
        << one.name << ": "
        << (WIFEXITED(one.end.status) ? "exit code " + std::to_string(WEXITSTATUS(one.end.status))
                                      : "signal " + std::to_string(WTERMSIG(one.end.status)))
        << "\n"
        << one.end.output.substr(0, 4000);
    std::printf("%-28s %s\n", one.name.c_str(), result.c_str());
    add_left_out(one.end.output, left_out);
  }
  for (const auto& [reason, count] : left_out)
    partly("of " + std::to_string(count) + " kinds: " + reason);
  EXPECT_GE(computed, 100);
}
INSTANTIATE_TEST_SUITE_P(With, Architectures, testing::Values("", "CHOIR_KERNELS=off"),
                         [](const auto& p) {
                           return p.param.empty() ? "OurKernels" : "TheEnginesOnly";
                         });

}  // namespace
}  // namespace choir
