// A model file is read once while it stays the same, and again when it has changed.
#include "engine/measured_files.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "choir/model_info.h"
#include "real_models.h"
#include "temp_folder.h"

namespace choir {
namespace {

constexpr EngineConfig kSmall{.context_tokens = 128, .sequences_max = 1, .batch_tokens_max = 32};
constexpr EngineConfig kLarge{.context_tokens = 512, .sequences_max = 4, .batch_tokens_max = 32};
constexpr EngineConfig kOther{.context_tokens = 256, .sequences_max = 2, .batch_tokens_max = 32};

class FilesRead : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::copy_file(stories(), path); }

  const TempFolder folder;
  const std::string path = folder.path() + "/a.gguf";
};

TEST_F(FilesRead, AreOpenWhileSizesAreTried) {
  MeasuredFiles files;
  const CheckedFile file{.path = path, .identity = "one", .fingerprint = {}};
  const ExecutorBytes small = files.measure(file, kSmall).value();
  std::filesystem::remove(path);
  const ExecutorBytes large = files.measure(file, kLarge).value();
  EXPECT_EQ(large, measure_file(stories(), kLarge).value());
  EXPECT_GT(large.kv, small.kv);
  EXPECT_FALSE(files.measure({.path = path, .identity = "two", .fingerprint = {}}, kLarge))
      << "another file is not what was read";
  files.close();
  EXPECT_FALSE(files.measure(file, kOther));
  EXPECT_EQ(files.measure(file, kSmall).value(), small) << "what was found is known";
}

TEST_F(FilesRead, KeepSoManyAnswers) {
  MeasuredFiles files;
  const CheckedFile file{.path = path, .identity = "one", .fingerprint = {}};
  ASSERT_TRUE(files.measure(file, kSmall));
  for (std::size_t i = 0; i < MeasuredFiles::kAnswersMax; ++i) {
    EngineConfig config = kSmall;
    config.context_tokens += 32 * static_cast<std::int32_t>(i + 1);
    ASSERT_TRUE(files.measure(file, config));
  }
  std::filesystem::remove(path);
  files.close();
  EXPECT_FALSE(files.measure(file, kSmall)) << "it was the oldest";
}

// The file's bytes change behind its times and its size, which nothing but a test does.
TEST_F(FilesRead, SayWhatTheyAreWithoutBeingReadAgain) {
  const auto written = std::filesystem::last_write_time(path);
  setenv("CHOIR_CACHE", folder.path().c_str(), 1);
  const ModelInfo first = inspect_model(path).value();
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(8) << "damaged";
  std::filesystem::last_write_time(path, written);
  EXPECT_EQ(inspect_model(path).value(), first);
  std::filesystem::last_write_time(path, written + std::chrono::seconds(1));
  EXPECT_FALSE(inspect_model(path));
}

}  // namespace
}  // namespace choir
