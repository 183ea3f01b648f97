// Who would have to leave for a model that does not fit, and what clients see of files.
#include "serve/cold_model.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "serve/load_wait.h"

namespace choir::serve {
namespace {

ExecutorInfo in_memory(const std::string& name, std::uint64_t weights, std::uint64_t kv) {
  ExecutorInfo info;
  info.config.name = name;
  info.config.path = "/models/" + name + ".gguf";
  info.memory = {.weights = weights, .kv = kv, .compute = 0};
  return info;
}

ExecutorConfig wanted() {
  ExecutorConfig config;
  config.name = "wanted";
  config.path = "/models/wanted.gguf";
  return config;
}

TEST(WhoMustLeave, AreRatherIdleThanBusyAndRatherBusyThanPinned) {
  std::vector<ExecutorInfo> all = {in_memory("pinned", 50, 50), in_memory("busy", 20, 20),
                                   in_memory("idle", 5, 5)};
  all[0].config.pinned = true;
  all[1].active = 1;
  using All = std::vector<Stays>;
  const Stays idle = {"idle", 10, "idle"};
  const Stays busy = {"busy", 40, "busy"};
  const Stays pinned = {"pinned", 100, "pinned"};
  EXPECT_EQ(who_must_leave(all, wanted(), 10), All{idle});
  EXPECT_EQ(who_must_leave(all, wanted(), 11), All{busy}) << "the idle one does not help";
  EXPECT_EQ(who_must_leave(all, wanted(), 41), (All{idle, busy}));
  EXPECT_EQ(who_must_leave(all, wanted(), 51), All{pinned});
  EXPECT_EQ(who_must_leave(all, wanted(), 150), (All{idle, busy, pinned}));
  EXPECT_EQ(who_must_leave(all, wanted(), 151), All{}) << "all of them would not suffice";
}

TEST(WhoMustLeave, WeightsCountWithTheLastOfTheirFile) {
  std::vector<ExecutorInfo> all = {in_memory("a", 100, 10), in_memory("b", 100, 9)};
  all[1].config.path = all[0].config.path;
  const auto leave = who_must_leave(all, wanted(), 119);
  ASSERT_EQ(leave.size(), 2U);
  EXPECT_EQ(leave[0].bytes, 10U);
  EXPECT_EQ(leave[1].bytes, 109U);
  EXPECT_TRUE(who_must_leave(all, wanted(), 120).empty());
}

TEST(WhoMustLeave, WeightsOfTheWantedFileStay) {
  std::vector<ExecutorInfo> all = {in_memory("a", 100, 10)};
  all[0].config.path = wanted().path;
  EXPECT_EQ(who_must_leave(all, wanted(), 10).size(), 1U);
  EXPECT_TRUE(who_must_leave(all, wanted(), 11).empty());
}

TEST(WhoMustLeave, AreNotThoseThatAreNotInMemory) {
  std::vector<ExecutorInfo> all = {in_memory("a", 100, 10)};
  all[0].loaded = false;
  EXPECT_TRUE(who_must_leave(all, wanted(), 10).empty());
}

TEST(LoadingComment, HasWholePercents) {
  EXPECT_EQ(loading_comment(0), ": loading 0 %\n\n");
  EXPECT_EQ(loading_comment(0.429), ": loading 42 %\n\n");
  EXPECT_EQ(loading_comment(1), ": loading 100 %\n\n");
}

struct Said {
  const char* name;
  const char* message;
  const char* seen;
};
class Messages : public testing::TestWithParam<Said> {};

TEST_P(Messages, NameFilesWithoutTheirFolders) {
  EXPECT_EQ(without_folders(GetParam().message), GetParam().seen);
  EXPECT_EQ(api_error({Code::kEngineFailed, GetParam().message}).message, GetParam().seen);
}

INSTANTIATE_TEST_SUITE_P(
    Of, Messages,
    testing::Values(Said{"OneFile", "'/home/me/a.gguf' is empty", "'a.gguf' is empty"},
                    Said{"TwoFiles", "'/m/a' is part 2; open '/m/b c'",
                         "'a' is part 2; open 'b c'"},
                    Said{"ARoute", "POST /v1/embeddings uses it", "POST /v1/embeddings uses it"},
                    Said{"ASlash", "without '/' and '\\'", "without '/' and '\\'"},
                    Said{"AnOpenQuote", "it's '/home/me", "it's '/home/me"},
                    Said{"NoFile", "there is no model 'a/b'", "there is no model 'a/b'"}),
    [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace choir::serve
