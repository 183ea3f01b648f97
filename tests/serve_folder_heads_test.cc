// Heads of the models folder's files: each is read once, and again when it was written since.
#include "serve/folder_heads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace choir::serve {
namespace {

using Files = std::vector<FolderHeads::File>;

std::vector<std::string> paths(const Files& files) {
  std::vector<std::string> all;
  all.reserve(files.size());
  for (const FolderHeads::File& file : files) all.push_back(file.path);
  return all;
}

TEST(FolderHeadsTest, AFileIsClaimedOnce) {
  FolderHeads heads;
  EXPECT_THAT(paths(heads.claim({{"a", 1}, {"b", 1}})), testing::ElementsAre("a", "b"));
  EXPECT_THAT(paths(heads.claim({{"a", 1}, {"b", 2}, {"c", 1}})), testing::ElementsAre("b", "c"));
}

TEST(FolderHeadsTest, OneThatWasLeftIsClaimedAgain) {
  FolderHeads heads;
  const Files files = heads.claim({{"a", 1}});
  heads.leave(files);
  EXPECT_THAT(paths(heads.claim({{"a", 1}})), testing::ElementsAre("a"));
}

TEST(FolderHeadsTest, OneThatCannotBeReadHasNone) {
  FolderHeads heads;
  heads.read(heads.claim({{"/nowhere/a.gguf", 1}}));
  EXPECT_EQ(heads.of({"/nowhere/a.gguf", 1}), nullptr);
  EXPECT_TRUE(heads.claim({{"/nowhere/a.gguf", 1}}).empty());
}

}  // namespace
}  // namespace choir::serve
