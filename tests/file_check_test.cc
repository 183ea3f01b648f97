// Damaged and hostile model files: refused with a sentence, or loaded; this process lives.
#include "engine/file_check.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "engine/llama_backend.h"
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
  const auto model = CHOIR_TRY(backend.load(path));
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

}  // namespace
}  // namespace choir
