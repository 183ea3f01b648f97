// The value that is kept about model files, and its text.
#include "engine/verdicts.h"

#include <gtest/gtest.h>

#include <random>

#include "base/split_name.h"

namespace choir {
namespace {

const Verdicts kSome{
    .hashes = {{"1:2:3:4.5", "aa"}, {"1:7:3:4.5", "bb"}},
    .verdicts = {{"aa", {.why = "", .path = "/a.gguf", .bytes = 3}},
                 {"bb", {.why = "'/b.gguf' is damaged", .path = "/b.gguf", .bytes = 4}}}};

TEST(Verdicts, ComeBackFromTheirText) {
  EXPECT_EQ(parse_verdicts(verdicts_text(kSome, "e"), "e"), kSome);
}

TEST(Verdicts, OfAnotherEngineSayNothing) {
  EXPECT_EQ(parse_verdicts(verdicts_text(kSome, "e"), "f"), Verdicts{});
}

TEST(Verdicts, OfBytesThatAreNotTextAreKept) {
  Verdicts odd = kSome;
  odd.verdicts["aa"].path = "/\xff\xfe.gguf";
  EXPECT_EQ(parse_verdicts(verdicts_text(odd, "e"), "e").verdicts.size(), 2U);
}

TEST(Verdicts, AnyTextIsReadWithoutHarm) {
  const std::string text = verdicts_text(kSome, "e");
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::string changed = text;
    for (unsigned i = 0; i <= random() % 4; ++i)
      changed[random() % changed.size()] = static_cast<char>(random());
    changed.resize(changed.size() - (seed % 3 == 0 ? random() % changed.size() : 0));
    EXPECT_LE(parse_verdicts(changed, "e").verdicts.size(), 2U);
  }
}

TEST(Verdicts, AreBounded) {
  Verdicts many;
  for (int i = 0; i < 20'000; ++i) add_verdict(many, std::to_string(i), std::to_string(i), {});
  EXPECT_LE(many.verdicts.size(), 4096U);
  for (int i = 0; i < 20'000; ++i) add_verdict(many, std::to_string(i), "same", {});
  EXPECT_LE(many.hashes.size(), 8192U);
  EXPECT_TRUE(many.verdicts.contains("same"));
}

TEST(Verdicts, AreAboutThePathThatIsAskedFor) {
  EXPECT_EQ(why_at(kSome.verdicts.at("bb"), "/c.gguf"), "'/c.gguf' is damaged");
  EXPECT_EQ(why_at(kSome.verdicts.at("aa"), "/c.gguf"), "");
}

TEST(VerdictFile, AnEmptyFolderKeepsNothing) {
  const VerdictFile none("");
  EXPECT_TRUE(none.change([](Verdicts& verdicts) { verdicts = kSome; }));
  EXPECT_EQ(none.read(), Verdicts{});
}

struct NameCase {
  std::string name;
  std::string path;
  std::optional<SplitName> split;
};
void PrintTo(const NameCase& c, std::ostream* out) { *out << c.name; }

class Names : public testing::TestWithParam<NameCase> {};

TEST_P(Names, Are) { EXPECT_EQ(split_name(GetParam().path), GetParam().split); }

const NameCase kNames[] = {
    {"First", "/m/x-00001-of-00003.gguf", SplitName{"/m/x", 1, 3}},
    {"Last", "x-00003-of-00003.gguf", SplitName{"x", 3, 3}},
    {"OnlyOne", "x-00001-of-00001.gguf", {}},
    {"BeyondTheLast", "x-00004-of-00003.gguf", {}},
    {"Zeroth", "x-00000-of-00003.gguf", {}},
    {"NoPrefix", "-00001-of-00003.gguf", {}},
    {"NoDash", "x00001-of-00003.gguf", {}},
    {"Letters", "x-0000a-of-00003.gguf", {}},
    {"Signs", "x--0001-of-00003.gguf", {}},
    {"AnotherEnd", "x-00001-of-00003.bin", {}},
    {"Plain", "/m/model.gguf", {}},
    {"Empty", "", {}},
};
INSTANTIATE_TEST_SUITE_P(, Names, testing::ValuesIn(kNames),
                         [](const auto& c) { return c.param.name; });

TEST(ModelParts, AreNamedByTheFirst) {
  EXPECT_EQ(model_parts("/x-00001-of-00002.gguf"),
            (std::vector<std::string>{"/x-00001-of-00002.gguf", "/x-00002-of-00002.gguf"}));
  EXPECT_EQ(model_parts("/x.gguf"), std::vector<std::string>{"/x.gguf"});
}

}  // namespace
}  // namespace choir
