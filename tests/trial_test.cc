// The trial of a model file in a child process: what it computes, and what its end says of the
// file.
#include "engine/trial.h"

#include <gtest/gtest.h>

#include <csignal>
#include <string>

#include "engine/probe_process.h"
#include "model_file.h"
#include "real_models.h"
#include "temp_folder.h"

namespace choir {
namespace {

constexpr int kLived = 0;
int died_of(int signal) { return signal; }
int exited_with(int code) { return code << 8; }

struct TrialCase {
  std::string name;
  int status = 0;  // as waitpid gives it
  std::string output;
  Code code = Code::kEngineFailed;  // that one is kept
  std::string says;
};
void PrintTo(const TrialCase& c, std::ostream* out) { *out << c.name; }

class JudgeTrial : public testing::TestWithParam<TrialCase> {};

TEST_P(JudgeTrial, HoldsAgainstTheFileOnlyWhatItsBytesDecide) {
  const Status judged = judge_trial({GetParam().status, GetParam().output}, "/m.gguf");
  ASSERT_FALSE(judged);
  EXPECT_EQ(judged.error().code, GetParam().code) << judged.error().message;
  EXPECT_NE(judged.error().message.find(GetParam().says), std::string::npos)
      << judged.error().message;
}

std::string answer(const std::string& code, const std::string& message) {
  return "noise\nchoir-probe: {\"ok\":false,\"code\":\"" + code + "\",\"message\":\"" + message +
         "\"}\n";
}

const TrialCase kTrialCases[] = {
    {"ABadFile", kLived, answer("engine_failed", "'/m.gguf' is damaged"), Code::kEngineFailed,
     "'/m.gguf' is damaged"},
    {"Assert", died_of(SIGABRT), "x.c:3: GGML_ASSERT(a == b) failed\n", Code::kEngineFailed,
     "GGML_ASSERT(a == b) failed"},
    {"SegmentationFault", died_of(SIGSEGV), "", Code::kEngineFailed, "Segmentation fault"},
    {"DivisionByZero", died_of(SIGFPE), "", Code::kEngineFailed, "crashed on it"},
    {"TooLarge", kLived, answer("out_of_memory", "needs 3 GB"), Code::kOutOfMemory, "needs 3 GB"},
    {"NoMemoryAnswered", kLived, answer("engine_failed", "unable to allocate CPU buffer"),
     Code::kUnavailable, "says nothing about the file"},
    {"NoMemoryThrown", died_of(SIGABRT), "terminate called after throwing 'std::bad_alloc'\n",
     Code::kUnavailable, "bad_alloc"},
    {"NoDescriptors", kLived, answer("engine_failed", "failed to open x: Too many open files"),
     Code::kUnavailable, "Too many open files"},
    {"NoMemoryForAFileOfThatName", kLived,
     answer("engine_failed", "'/m.gguf' gives no context: failed to allocate /m.gguf"),
     Code::kUnavailable, "failed to allocate"},
    {"BadDisk", kLived, answer("engine_failed", "read error: Input/output error"),
     Code::kUnavailable, "read error"},
    {"OutOfMemoryKiller", died_of(SIGKILL), "", Code::kUnavailable, "was killed (Killed)"},
    {"Interrupted", died_of(SIGINT), "", Code::kUnavailable, "was killed (Interrupt)"},
    {"Terminated", died_of(SIGTERM), "", Code::kUnavailable, "was killed (Terminated)"},
    {"HungUp", died_of(SIGHUP), "", Code::kUnavailable, "was killed"},
    {"NoTime", died_of(SIGALRM), "", Code::kUnavailable, "did not finish loading it in time"},
    {"NoCpuTime", died_of(SIGXCPU), "", Code::kUnavailable, "did not finish loading it in time"},
    {"RealTimeSignal", died_of(SIGRTMAX), "", Code::kUnavailable, "was killed (signal 64)"},
    {"FileShrank", died_of(SIGBUS), "", Code::kUnavailable, "was killed"},
    {"EngineOfAnotherCpu", died_of(SIGILL), "", Code::kUnavailable, "Illegal instruction"},
    {"NoLibrary", exited_with(127), "error while loading shared libraries\n", Code::kUnavailable,
     "exit code 127"},
    {"AnswerOfAnotherShape", exited_with(1), "choir-probe: {\"ok\":3,\"message\":[]}",
     Code::kEngineFailed, "no reason given"},
    {"NoAnswer", exited_with(1), "choir-probe: {", Code::kUnavailable, "exit code 1"},
};
INSTANTIATE_TEST_SUITE_P(, JudgeTrial, testing::ValuesIn(kTrialCases),
                         [](const auto& c) { return c.param.name; });

TEST(Trial, WordsInTheNamesOfTheFilesSayNothing) {
  const std::string path = "/memory/alloc/read error-00001-of-00002.gguf";
  const std::string second = "/memory/alloc/read error-00002-of-00002.gguf";
  for (const std::string& what : {"'" + path + "' cannot be loaded: it is cut",
                                  "'" + path + "' cannot be loaded: " + second + " is cut"})
    EXPECT_EQ(judge_trial({kLived, answer("engine_failed", what)}, path).error().code,
              Code::kEngineFailed)
        << what;
  const std::string died = "x.c:3: GGML_ASSERT(a == b) failed in " + path + "\n";
  EXPECT_EQ(judge_trial({died_of(SIGABRT), died}, path).error().code, Code::kEngineFailed);
}

constexpr EngineConfig kSmall{.context_tokens = 128, .sequences_max = 1, .batch_tokens_max = 32};

TEST(Trial, ComputesWithTheCellsOfTheExecutor) {
  EXPECT_EQ(trial_config({.kv_type = KvType::kQ80}).kv_type, KvType::kQ80);
  EXPECT_EQ(trial_config(kSmall).kv_type, KvType::kF16);
  EngineConfig small = kSmall;
  small.kv_type = KvType::kQ80;
  const Status tried = try_file(stories(), small, 1ULL << 32);  // it has no such cells
  EXPECT_TRUE(tried) << tried.error().message;
  const TempFolder folder;
  const Status with = try_file(write_model(folder.path(), "model", {}).front(), small, 1ULL << 32);
  EXPECT_TRUE(with) << with.error().message;
}

}  // namespace
}  // namespace choir
