// Damaged and hostile model files: refused with a sentence, or loaded; this process lives.
#include "engine/file_check.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include "engine/llama_backend.h"
#include "engine/probe_process.h"
#include "model_file.h"
#include "real_models.h"
#include "runtime/warm_up.h"
#include "temp_folder.h"

namespace choir {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct BadFile {
  std::string name;
  std::string bytes;
  std::string message;  // after "'PATH' "
};
void PrintTo(const BadFile& b, std::ostream* out) { *out << b.name; }

class BadFiles : public testing::TestWithParam<BadFile> {};

TEST_P(BadFiles, AreRefusedInOneSentence) {
  const TempFolder folder;
  const std::string path = folder.path() + "/bad.gguf";
  std::ofstream(path, std::ios::binary) << GetParam().bytes;
  const Status seen = look_at_file(path);
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().message, "'" + path + "' " + GetParam().message);
}

std::string random_bytes(std::size_t count) {
  std::mt19937 rng(1);
  std::string bytes(count, '\0');
  for (char& c : bytes) c = static_cast<char>(rng());
  return bytes;
}

const BadFile kBadFiles[] = {
    {"Empty", "", "is empty"},
    {"RandomBytes", random_bytes(4096),
     "is not a GGUF model: it does not begin with the letters GGUF"},
    {"WrongMagic", "GGML" + std::string(100, '\0'),
     "is not a GGUF model: it does not begin with the letters GGUF"},
    {"OnlyTheMagic", "GGUF", "is truncated: it has only 4 bytes"},
};
INSTANTIATE_TEST_SUITE_P(, BadFiles, testing::ValuesIn(kBadFiles),
                         [](const auto& c) { return c.param.name; });

TEST(LookAtFile, MissingFilesAndFoldersAreNamed) {
  const TempFolder folder;
  EXPECT_EQ(look_at_file(folder.path() + "/none").error().code, Code::kNotFound);
  EXPECT_EQ(look_at_file(folder.path()).error().message, "'" + folder.path() + "' is not a file");
}

constexpr EngineConfig kSmall{.context_tokens = 128, .sequences_max = 1, .batch_tokens_max = 32};

// Loads what the check lets through, and computes with it.
Status use(LlamaBackend& backend, const std::string& path) {
  CHOIR_TRY(backend.measure(path, kSmall));
  const auto model = CHOIR_TRY(backend.load(path, {}));
  const auto engine = CHOIR_TRY(backend.create_engine(model, kSmall));
  const SteadyClock clock;
  return warm_up(backend, *model, *engine, clock);
}

TEST(FileCheck, TruncatedCopiesAreRefused) {
  const TempFolder folder;
  LlamaBackend backend({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}},
                       1ULL << 32);
  const std::string whole = read_file(stories());
  for (const std::size_t size :
       {std::size_t{64}, std::size_t{1000}, whole.size() / 2, whole.size() - 1}) {
    const std::string path = folder.path() + "/cut.gguf";
    std::ofstream(path, std::ios::binary) << whole.substr(0, size);
    const Status used = use(backend, path);
    ASSERT_FALSE(used) << size << " bytes";
    EXPECT_EQ(used.error().code, Code::kEngineFailed);
    EXPECT_NE(used.error().message.find(path), std::string::npos) << used.error().message;
  }
}

TEST(FileCheck, AClaimOfHugeTensorsIsRefused) {
  const TempFolder folder;
  LlamaBackend backend({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}},
                       1ULL << 32);
  std::string bytes = read_file(stories());
  // The first dimension of the first tensor, after its name and the number of dimensions.
  const std::string name = "token_embd.weight";
  const std::size_t at = bytes.find(name, bytes.find("tokenizer.ggml.tokens") + 1);
  ASSERT_NE(at, std::string::npos);
  bytes[at + name.size() + 4 + 5] = '\x7f';
  const std::string path = folder.path() + "/huge.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_FALSE(use(backend, path));
}

TEST(FileCheck, AModelLargerThanMemoryIsRefusedWithTheNumbers) {
  const TempFolder folder;
  LlamaBackend backend({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}},
                       1U << 20);
  const auto measured = backend.measure(stories(), kSmall);
  ASSERT_FALSE(measured);
  EXPECT_EQ(measured.error().code, Code::kOutOfMemory);
  EXPECT_NE(measured.error().message.find("1.0 MB"), std::string::npos) << measured.error().message;
  // Memory may be there tomorrow: the file itself is not held to be bad.
  LlamaBackend larger({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}},
                      1ULL << 32);
  EXPECT_TRUE(larger.measure(stories(), kSmall));
}

TEST(FileCheck, SaysWhetherAFileWasTried) {
  const TempFolder folder;
  LlamaBackend backend({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}},
                       1ULL << 32);
  EXPECT_EQ(backend.was_tried(folder.path() + "/none", kSmall).error().code, Code::kNotFound);
  EXPECT_FALSE(backend.was_tried(stories(), kSmall).value());
  ASSERT_TRUE(backend.measure(stories(), kSmall));
  EXPECT_TRUE(backend.was_tried(stories(), kSmall).value());
  EngineConfig other = kSmall;
  other.kv_type = KvType::kQ80;
  EXPECT_FALSE(backend.was_tried(stories(), other).value());
}

TEST(FileCheck, AThousandCopiesWithChangedBytesHarmNobody) {
  const TempFolder folder;
  LlamaBackend backend({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}},
                       1ULL << 32);
  const std::string whole = read_file(stories());
  const std::string path = folder.path() + "/changed.gguf";
  const char* wanted = std::getenv("CHOIR_FUZZ_FILES");
  const int files = wanted != nullptr ? std::atoi(wanted) : 1000;
  int refused = 0;
  int crashed = 0;
  for (int seed = 1; seed <= files; ++seed) {
    std::mt19937 rng(static_cast<unsigned>(seed));
    std::string bytes = whole;
    const std::size_t changes = 1 + rng() % 3;
    for (std::size_t i = 0; i < changes; ++i)  // half of them where it hurts, in the header
      bytes[rng() % (seed % 2 == 0 ? bytes.size() : 20'000)] = static_cast<char>(rng());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    const Status used = use(backend, path);
    if (used) continue;
    ++refused;
    if (used.error().message.find("crashed on it") != std::string::npos) ++crashed;
    ASSERT_FALSE(used.error().message.empty()) << "seed " << seed;
  }
  std::printf("%d files: %d refused, of those %d would have ended this process\n", files, refused,
              crashed);
  EXPECT_GT(refused, 0);
}

TEST(FileCheck, AVerdictIsKeptByContent) {
  const TempFolder folder;
  const FileCheckOptions options{
      .check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}};
  ASSERT_TRUE(FileCheck(options).check(stories(), kSmall, 1ULL << 32));
  // Without a program to try files with, only what is known already gets through.
  FileCheckOptions without = options;
  without.probe = "/does/not/exist";
  EXPECT_TRUE(FileCheck(without).check(stories(), kSmall, 1ULL << 32));
  const std::string copy = folder.path() + "/copy.gguf";
  std::ofstream(copy, std::ios::binary) << read_file(stories());
  EXPECT_TRUE(FileCheck(without).check(copy, kSmall, 1ULL << 32)) << "the same bytes elsewhere";
  std::ofstream(copy, std::ios::binary | std::ios::app) << "x";
  EXPECT_EQ(FileCheck(without).check(copy, kSmall, 1ULL << 32).error().code, Code::kUnavailable);
}

// ---- what is kept ----

TEST(FileCheck, ATrialThatWasKilledIsNotKept) {
  const TempFolder folder;
  FileCheckOptions killed{.check = CheckFiles::kUnseen,
                          .cache_folder = folder.path(),
                          .probe = folder.write_program("killed", "#!/bin/sh\nkill -KILL $$\n")};
  EXPECT_EQ(FileCheck(killed).check(stories(), kSmall, 1ULL << 32).error().code,
            Code::kUnavailable);
  FileCheckOptions now = killed;
  now.probe.clear();
  const auto checked = FileCheck(now).check(stories(), kSmall, 1ULL << 32);
  EXPECT_TRUE(checked) << checked.error().message;
}

TEST(FileCheck, ATrialHearsSignalsThatItsStarterDoesNot) {
  const TempFolder folder;
  const FileCheckOptions alarm{
      .check = CheckFiles::kUnseen,
      .cache_folder = folder.path(),
      .probe = folder.write_program("alarm", "#!/bin/sh\nkill -ALRM $$\nexit 3\n")};
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  const auto ended = FileCheck(alarm).check(stories(), kSmall, 1ULL << 32);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_FALSE(ended);
  EXPECT_NE(ended.error().message.find("did not finish loading it in time"), std::string::npos)
      << ended.error().message;
}

TEST(FileCheck, ACrashIsKeptAndNamesThePathThatIsAskedFor) {
  const TempFolder folder;
  FileCheckOptions options{.check = CheckFiles::kUnseen,
                           .cache_folder = folder.path(),
                           .probe = folder.write_program("crashes", "#!/bin/sh\nkill -SEGV $$\n")};
  const std::string first = folder.write("first.gguf", read_file(stories()));
  const std::string second = folder.write("second.gguf", read_file(stories()));
  EXPECT_EQ(FileCheck(options).check(first, kSmall, 1ULL << 32).error().code, Code::kEngineFailed);
  options.probe = "/does/not/exist";
  const auto again = FileCheck(options).check(second, kSmall, 1ULL << 32);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kEngineFailed);
  EXPECT_NE(again.error().message.find("'" + second + "'"), std::string::npos)
      << again.error().message;
}

TEST(FileCheck, ProcessesKeepEachOthersVerdicts) {
  const TempFolder folder;
  const FileCheckOptions options{
      .check = CheckFiles::kUnseen,
      .cache_folder = folder.path(),
      .probe = folder.write_program("ok", "#!/bin/sh\necho 'choir-probe: {\"ok\":true}'\n")};
  const std::string a = folder.write("a.gguf", read_file(stories()) + "a");
  const std::string b = folder.write("b.gguf", read_file(stories()) + "b");
  FileCheck one(options);
  FileCheck other(options);
  ASSERT_TRUE(one.check(stories(), kSmall, 1ULL << 32));  // both have read what there was
  ASSERT_TRUE(other.check(a, kSmall, 1ULL << 32));
  ASSERT_TRUE(one.check(b, kSmall, 1ULL << 32));
  EXPECT_EQ(VerdictFile(folder.path()).read().verdicts.size(), 3U);
}

TEST(FileCheck, WhatWasForgottenIsTriedAgainByWhoHasReadIt) {
  const TempFolder folder;
  const std::string probe = folder.write_program("probe", "#!/bin/sh\nkill -SEGV $$\n");
  FileCheck check({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = probe});
  EXPECT_EQ(check.check(stories(), kSmall, 1ULL << 32).error().code, Code::kEngineFailed);
  folder.write_program("probe", "#!/bin/sh\necho 'choir-probe: {\"ok\":true}'\n");
  EXPECT_FALSE(check.check(stories(), kSmall, 1ULL << 32)) << "the verdict is kept";
  ASSERT_TRUE(VerdictFile(folder.path()).change([](Verdicts& verdicts) { verdicts = {}; }));
  EXPECT_TRUE(check.check(stories(), kSmall, 1ULL << 32));
}

TEST(FileCheck, CellsOfAnotherTypeAreTriedApart) {
  const TempFolder folder;
  const std::string probe = folder.write_program(
      "probe", "#!/bin/sh\n[ $7 = q8_0 ] && kill -SEGV $$\necho 'choir-probe: {\"ok\":true}'\n");
  FileCheck check({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = probe});
  EngineConfig small = kSmall;
  EXPECT_TRUE(check.check(stories(), small, 1ULL << 32));
  small.kv_type = KvType::kQ80;
  const auto refused = check.check(stories(), small, 1ULL << 32);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("it was tried with kv_type q8_0"), std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(check.check(stories(), kSmall, 1ULL << 32)) << "with other cells it computes";
  EXPECT_TRUE(check.check(stories(), std::nullopt, 1ULL << 32));
}

TEST(FileCheck, AFileThatWasTriedWithAnyCellsIsNotTriedForItsWeights) {
  const TempFolder folder;
  FileCheckOptions options{
      .check = CheckFiles::kUnseen,
      .cache_folder = folder.path(),
      .probe = folder.write_program("probe", "#!/bin/sh\necho 'choir-probe: {\"ok\":true}'\n")};
  EngineConfig small = kSmall;
  small.kv_type = KvType::kQ80;
  ASSERT_TRUE(FileCheck(options).check(stories(), small, 1ULL << 32));
  options.probe = "/does/not/exist";
  EXPECT_TRUE(FileCheck(options).check(stories(), std::nullopt, 1ULL << 32));
  EXPECT_FALSE(FileCheck(options).check(stories(), kSmall, 1ULL << 32));
}

// ---- split files ----

class SplitModel : public testing::Test {
 protected:
  Status check() const {
    LlamaBackend backend({.check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}},
                         1ULL << 32);
    CHOIR_TRY(backend.measure(parts[0], kSmall));
    const auto model = CHOIR_TRY(backend.load(parts[0], {}));
    std::uint64_t bytes = 0;
    for (const std::string& part : parts) bytes += std::filesystem::file_size(part);
    EXPECT_EQ(model->info().file_bytes, bytes);
    return {};
  }
  TempFolder folder;
  std::vector<std::string> parts = write_model(folder.path(), "model", {.parts = 3});
};

TEST_F(SplitModel, IsOneModel) {
  const Status checked = check();
  EXPECT_TRUE(checked) << checked.error().message;
}

TEST_F(SplitModel, APartThatIsMissingIsNamedAndNotHeldAgainstTheOthers) {
  const std::string bytes = read_file(parts[1]);
  std::filesystem::remove(parts[1]);
  const Status missing = check();
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_EQ(missing.error().message, "'" + parts[1] +
                                         "' does not exist or cannot be read; it is part 2 of 3 of "
                                         "'" +
                                         parts[0] + "'");
  std::ofstream(parts[1], std::ios::binary) << bytes;
  const Status there = check();
  EXPECT_TRUE(there) << there.error().message;
}

TEST_F(SplitModel, AVerdictIsOnAllParts) {
  ASSERT_TRUE(check());
  const std::string bytes = read_file(parts[2]);
  std::ofstream(parts[2], std::ios::binary) << bytes.substr(0, bytes.size() / 2);
  const Status cut = check();
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, Code::kEngineFailed);
  std::ofstream(parts[2], std::ios::binary) << bytes;
  EXPECT_TRUE(check());
}

TEST_F(SplitModel, APartThatIsNotTheFirstSaysWhichIs) {
  const FileCheckOptions options{
      .check = CheckFiles::kUnseen, .cache_folder = folder.path(), .probe = {}};
  const auto refused = FileCheck(options).check(parts[1], kSmall, 1ULL << 32);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "'" + parts[1] + "' is part 2 of 3 of a model; open the first one, '" + parts[0] + "'");
}

TEST_F(SplitModel, LinksToPartsOfOtherNamesAreFollowed) {
  const TempFolder blobs;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string blob = blobs / std::to_string(i);
    std::filesystem::copy_file(parts[i], blob);
    std::filesystem::remove(parts[i]);
    std::filesystem::create_symlink(blob, parts[i]);
  }
  const Status checked = check();
  EXPECT_TRUE(checked) << checked.error().message;
}

}  // namespace
}  // namespace choir
