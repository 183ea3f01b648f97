#include "choir/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "models/recipe.h"
#include "models/sha256.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

using testing::HasSubstr;

TEST(Catalog, EntriesAreComplete) {
  std::set<std::string> names;
  std::set<std::string> files;
  for (const Recipe& recipe : recipes()) {
    SCOPED_TRACE(recipe.entry.name);
    EXPECT_TRUE(names.insert(recipe.entry.name).second);
    EXPECT_TRUE(files.insert(recipe.entry.file).second);
    EXPECT_TRUE(recipe.entry.file.ends_with(".gguf"));
    EXPECT_TRUE(is_sha256(recipe.entry.sha256));
    EXPECT_FALSE(recipe.entry.license.empty());
    EXPECT_FALSE(recipe.entry.description.empty());
    EXPECT_FALSE(recipe.parts.empty());
    EXPECT_GT(recipe.entry.bytes, 0u);
  }
  EXPECT_EQ(catalog().size(), recipes().size());
}

struct FolderCase {
  std::string name;
  std::string models, cache, xdg, home;
  std::string want;
};
void PrintTo(const FolderCase& c, std::ostream* out) { *out << c.name; }

class ModelsFolder : public testing::TestWithParam<FolderCase> {};

TEST_P(ModelsFolder, Is) {
  const FolderCase& c = GetParam();
  Environment environment;
  environment.set("CHOIR_MODELS", c.models);
  environment.set("CHOIR_CACHE", c.cache);
  environment.set("XDG_CACHE_HOME", c.xdg);
  environment.set("HOME", c.home);
  EXPECT_EQ(models_folder(), c.want);
}

const FolderCase kFolderCases[] = {
    {"ItsOwnVariableFirst", "/m", "/c", "/x", "/h", "/m"},
    {"ThenTheCache", "", "/c", "/x", "/h", "/c/models"},
    {"ThenXdg", "", "", "/x", "/h", "/x/choir/models"},
    {"ThenHome", "", "", "", "/h", "/h/.cache/choir/models"},
    {"RelativeXdgIsIgnored", "", "", "x", "/h", "/h/.cache/choir/models"},
    {"TidiedUp", "/m/../n//o", "", "", "/h", "/n/o"},
};
INSTANTIATE_TEST_SUITE_P(, ModelsFolder, testing::ValuesIn(kFolderCases),
                         [](const auto& c) { return c.param.name; });

TEST(ModelsFolderPath, IsAbsolute) {
  Environment environment;
  environment.set("CHOIR_MODELS", "relative");
  EXPECT_TRUE(models_folder().starts_with('/')) << models_folder();
}

class OnDisk : public testing::Test {
 protected:
  OnDisk() { environment_.set("CHOIR_MODELS", folder_ / "models"); }

  std::vector<std::string> names() {
    std::vector<std::string> all;
    const auto models = local_models().value();
    for (const LocalModel& model : models) all.push_back(model.name);
    return all;
  }

  TempFolder folder_;
  Environment environment_;
};

TEST_F(OnDisk, NoFolderIsNoModels) { EXPECT_TRUE(local_models().value().empty()); }

TEST_F(OnDisk, OnlyGgufFilesAreModels) {
  folder_.write("models/b.gguf", "12345");
  folder_.write("models/A.GGUF", "1");
  folder_.write("models/a.txt", "");
  folder_.write("models/.hidden.gguf", "");
  folder_.write("models/folder.gguf/x", "");
  folder_.write("models/b.gguf.sha256", "");
  std::filesystem::create_symlink("nowhere", folder_ / "models/dangling.gguf");
  EXPECT_THAT(names(), testing::ElementsAre("A", "b"));
  EXPECT_EQ(local_models().value().at(1).bytes, 5u);
  EXPECT_EQ(local_models().value().at(1).path, folder_ / "models/b.gguf");
}

TEST_F(OnDisk, ASplitModelIsItsFirstPart) {
  folder_.write("models/s-00001-of-00002.gguf", "123");
  folder_.write("models/s-00002-of-00002.gguf", "45");
  EXPECT_THAT(names(), testing::ElementsAre("s-00001-of-00002"));
  EXPECT_EQ(local_models().value().at(0).bytes, 5u);
}

TEST_F(OnDisk, CatalogueFilesHaveTheirCatalogueName) {
  folder_.write("models/" + catalog().front().file, "x");
  EXPECT_THAT(names(), testing::ElementsAre(catalog().front().name));
}

TEST_F(OnDisk, UnreadableFolderIsNamed) {
  environment_.set("CHOIR_MODELS", folder_.write("file", "") + "/models");  // fails for root, too
  const auto models = local_models();
  ASSERT_FALSE(models);
  EXPECT_EQ(models.error().code, Code::kUnavailable);
  EXPECT_THAT(models.error().message, HasSubstr("file/models"));
  EXPECT_FALSE(resolve_model("x"));
}

struct ResolveCase {
  std::string name;
  std::string word;
  std::string path;  // inside the models folder; empty: an error
  Code code = Code::kNotFound;
  std::string says = {};
};
void PrintTo(const ResolveCase& c, std::ostream* out) { *out << c.name; }

class Resolve : public OnDisk, public testing::WithParamInterface<ResolveCase> {};

// On disk: the first of the catalogue, and a model of one's own in two spellings.
TEST_P(Resolve, Gives) {
  folder_.write("models/" + catalog().front().file, "x");
  folder_.write("models/My-Model.Q4.gguf", "x");
  folder_.write("models/my-model.q4.gguf", "x");
  folder_.write("models/Big.gguf", "x");
  const auto got = resolve_model(GetParam().word);
  if (!GetParam().path.empty()) {
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, folder_ / ("models/" + GetParam().path));
  } else {
    ASSERT_FALSE(got) << *got;
    EXPECT_EQ(got.error().code, GetParam().code);
    EXPECT_THAT(got.error().message, HasSubstr(GetParam().says));
  }
}

const ResolveCase kResolveCases[] = {
    {"CatalogueName", "smollm2-135m", "SmolLM2-135M-Instruct.Q4_1.gguf"},
    {"CatalogueNameInCapitals", "SMOLLM2-135M", "SmolLM2-135M-Instruct.Q4_1.gguf"},
    {"CatalogueFile", "smollm2-135m-instruct.q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf"},
    {"Stem", "big", "Big.gguf"},
    {"StemWithGguf", "BIG.GGUF", "Big.gguf"},
    {"ExactSpellingWins", "my-model.q4", "my-model.q4.gguf"},
    {"TheOtherSpelling", "My-Model.Q4.gguf", "My-Model.Q4.gguf"},
    {"NotFetched", "gemma3-270m", "", Code::kNotFound, "`choir pull gemma3-270m` (253 MB)"},
    {"NotFetchedByItsFile", "gemma-3-270m.Q4_K_M.gguf", "", Code::kNotFound,
     "`choir pull gemma3-270m`"},
    {"MistypedLocal", "bigg", "", Code::kNotFound, "did you mean 'Big'?"},
    {"MistypedNotFetched", "gema3-270m", "", Code::kNotFound, "did you mean 'gemma3-270m'? Fetch"},
    {"NothingNear", "llama-70b", "", Code::kNotFound, "no model 'llama-70b': `choir models`"},
    {"MissingPath", "/no/such/file.gguf", "", Code::kNotFound, "no file '/no/such/file.gguf'"},
    {"Empty", "", "", Code::kInvalidArgument, "empty"},
    {"Folder", "/", "", Code::kNotFound, "no file '/'"},
};
INSTANTIATE_TEST_SUITE_P(, Resolve, testing::ValuesIn(kResolveCases),
                         [](const auto& c) { return c.param.name; });

TEST_F(OnDisk, APathToAFileIsItself) {
  const std::string path = folder_.write("elsewhere/some model", "x");
  EXPECT_EQ(resolve_model(path).value(), path);
}

}  // namespace
}  // namespace choir
