#include "context/snapshot_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "choir/request.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

using testing::HasSubstr;

constexpr std::size_t kKvBytes = 10'000;

Snapshot snapshot(std::size_t kv_bytes = kKvBytes) {
  return {"f1", "f16", {1, 2, 3}, std::string(kv_bytes, 'k')};
}
const std::uint64_t kBytes = snapshot_bytes(snapshot());  // NOLINT(cert-err58-cpp)

class Snapshots : public testing::Test {
 protected:
  std::uint64_t bytes_on_disk() const {
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "kv"))
      bytes += entry.file_size();
    return bytes;
  }
  // Which of "0", "1", ... are there.
  std::string those_in(const SnapshotFolder& all) const {
    std::string ids;
    for (int i = 0; i < 10; ++i)
      if (all.has("a", std::to_string(i))) ids += std::to_string(i);
    return ids;
  }

  const TempFolder folder_;
};

TEST_F(Snapshots, AFileHasTheBytesThatAreCounted) {
  SnapshotFolder all(folder_.path(), 1 << 20);
  ASSERT_TRUE(all.write("a", "0", snapshot()));
  EXPECT_EQ(all.bytes(), kBytes);
  EXPECT_EQ(bytes_on_disk(), kBytes);
  ASSERT_TRUE(all.write("a", "0", snapshot(5))) << "the same again";
  EXPECT_EQ(all.bytes(), snapshot_bytes(snapshot(5)));
  EXPECT_EQ(bytes_on_disk(), all.bytes());
  ASSERT_TRUE(all.erase("a", "0"));
  EXPECT_EQ(all.bytes(), 0U);
  EXPECT_TRUE(all.erase("a", "0")) << "twice";
  EXPECT_FALSE(all.has("a", "0"));
}

TEST_F(Snapshots, ThoseUnusedForLongestLeaveForTheNext) {
  SnapshotFolder all(folder_.path(), 3 * kBytes);
  for (const char* id : {"0", "1", "2"}) ASSERT_TRUE(all.write("a", id, snapshot()));
  EXPECT_EQ(*all.read("a", "0"), snapshot());
  ASSERT_TRUE(all.write("a", "3", snapshot()));
  EXPECT_EQ(those_in(all), "023") << "0 was read";
  ASSERT_TRUE(all.write("a", "4", snapshot(2 * kKvBytes)));
  EXPECT_EQ(those_in(all), "34") << "room for two";
  EXPECT_LE(bytes_on_disk(), 3 * kBytes);
  EXPECT_EQ(bytes_on_disk(), all.bytes());
}

TEST_F(Snapshots, OneThatIsMoreThanTheLimitIsNotWrittenAndNoneLeaves) {
  SnapshotFolder all(folder_.path(), kBytes);
  ASSERT_TRUE(all.write("a", "0", snapshot()));
  const Status refused = all.write("a", "1", snapshot(2 * kKvBytes));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  EXPECT_THAT(refused.error().message, HasSubstr("store_kv_mib_max"));
  EXPECT_EQ(those_in(all), "0");
}

TEST_F(Snapshots, TheLimitHoldsForWhatIsThereAtTheStart) {
  {
    SnapshotFolder all(folder_.path(), 1 << 20);
    for (const char* id : {"0", "1", "2", "3"}) ASSERT_TRUE(all.write("a", id, snapshot()));
  }
  // The order of their last use outlives the process in their times.
  namespace fs = std::filesystem;
  const auto now = fs::last_write_time(snapshot_path(folder_.path(), "a", "0"));
  for (int i = 0; i < 4; ++i)
    fs::last_write_time(snapshot_path(folder_.path(), "a", std::to_string(i)),
                        now + std::chrono::seconds(i == 1 ? 100 : i));
  folder_.write("kv/somebody's.txt", "not ours");
  SnapshotFolder all(folder_.path(), 2 * kBytes);
  EXPECT_EQ(those_in(all), "13");
  EXPECT_EQ(all.bytes(), 2 * kBytes);
  EXPECT_TRUE(fs::exists(folder_ / "kv/somebody's.txt"));
  all.set_bytes_max(kBytes);
  EXPECT_EQ(those_in(all), "1");
  all.set_bytes_max(0);
  EXPECT_EQ(those_in(all), "");
}

TEST_F(Snapshots, OneThatCouldNotBeWrittenLeavesTheOldOneCounted) {
  SnapshotFolder all(folder_.path(), 1 << 20);
  ASSERT_TRUE(all.write("a", "0", snapshot()));
  Snapshot bad = snapshot();
  bad.kv_type.assign(kNameBytesMax + 1, 'x');
  EXPECT_FALSE(all.write("a", "0", bad));
  EXPECT_EQ(all.bytes(), kBytes);
  EXPECT_EQ(*all.read("a", "0"), snapshot());
}

TEST_F(Snapshots, AfterTheCloseNothingIsReadOrWritten) {
  SnapshotFolder all(folder_.path(), 1 << 20);
  ASSERT_TRUE(all.write("a", "0", snapshot()));
  all.close();
  all.close();
  EXPECT_EQ(all.read("a", "0").error().code, Code::kUnavailable);
  EXPECT_EQ(all.write("a", "1", snapshot()).error().code, Code::kUnavailable);
  EXPECT_EQ(all.erase("a", "0").error().code, Code::kUnavailable);
  EXPECT_EQ(bytes_on_disk(), kBytes);
}

TEST_F(Snapshots, HoldTheLimitFromManyThreads) {
  SnapshotFolder all(folder_.path(), 3 * kBytes);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&all, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string id = std::to_string((t * 7 + i) % 10);
        EXPECT_TRUE(all.write("a", id, snapshot()));
        const auto found = all.read("a", id);
        if (found) {
          EXPECT_EQ(*found, snapshot());
        } else {
          EXPECT_EQ(found.error().code, Code::kNotFound) << "it had to leave";
        }
        if (i % 5 == 0) {
          EXPECT_TRUE(all.erase("a", id));
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(all.bytes(), 3 * kBytes);
  EXPECT_EQ(bytes_on_disk(), all.bytes());
}

}  // namespace
}  // namespace choir
