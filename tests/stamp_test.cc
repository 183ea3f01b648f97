#include "models/stamp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>

#include "models/sha256.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

const std::string kHash(64, 'a');
const std::string kOtherHash(64, 'b');

TEST(Sha256, MatchesTheStandard) {
  EXPECT_EQ(sha256_of_text("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const TempFolder folder;
  EXPECT_EQ(sha256_of_file(folder.write("abc", "abc")).value(), sha256_of_text("abc"));
  EXPECT_EQ(sha256_of_file(folder / "missing").error().code, Code::kUnavailable);
}

TEST(Sha256, StopsWhenTold) {
  const TempFolder folder;
  const auto hash =
      sha256_of_file(folder.write("abc", "abc"), [](std::uint64_t done) { return done != 3; });
  EXPECT_EQ(hash.error().code, Code::kCancelled);
}

TEST(Sha256, HasSixtyFourHexDigits) {
  EXPECT_TRUE(is_sha256(kHash));
  EXPECT_TRUE(is_sha256(std::string(64, 'F')));
  EXPECT_FALSE(is_sha256(std::string(63, 'a')));
  EXPECT_FALSE(is_sha256(std::string(64, 'g')));
}

TEST(StampFile, ComesBackAsItWasWritten) {
  const TempFolder folder;
  const Stamp stamp{kHash, 5, -7, "file:x", "5.1"};
  write_stamp(folder / "m.gguf", stamp);
  EXPECT_EQ(read_stamp(folder / "m.gguf"), stamp);
  EXPECT_TRUE(text_of_file(folder / "m.gguf.sha256").starts_with(kHash + "  m.gguf\n"))
      << "sha256sum --check reads it";
}

struct RubbishCase {
  std::string name, text;
};
void PrintTo(const RubbishCase& c, std::ostream* out) { *out << c.name; }

class StampRubbish : public testing::TestWithParam<RubbishCase> {};

TEST_P(StampRubbish, IsNoStamp) {
  const TempFolder folder;
  folder.write("m.gguf.sha256", GetParam().text);
  EXPECT_EQ(read_stamp(folder / "m.gguf"), std::nullopt);
}

const RubbishCase kRubbish[] = {
    {"Empty", ""},
    {"OnlyTheHash", kHash + "  m.gguf\n"},
    {"NoHash", "hello  m.gguf\n# 5 5 a -\n"},
    {"Cut", kHash + "  m.gguf\n# 5 5\n"},
    {"NoNumbers", kHash + "  m.gguf\n# five 5 a -\n"},
    {"NoSign", kHash + "  m.gguf\n5 5 a b -\n"},
};
INSTANTIATE_TEST_SUITE_P(, StampRubbish, testing::ValuesIn(kRubbish),
                         [](const auto& c) { return c.param.name; });

struct Case {
  std::string name;
  Wanted wanted;
  std::optional<FileState> state;
  std::optional<Stamp> stamp;
  Presence want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Judge : public testing::TestWithParam<Case> {};

TEST_P(Judge, Gives) {
  EXPECT_EQ(judge(GetParam().wanted, GetParam().state, GetParam().stamp), GetParam().want);
}

const Wanted kCatalogue{kHash, 5, "catalog:x", "-", true};
const Wanted kUrl{"", 0, "url:x", "-", false};
const Wanted kUrlChecked{kHash, 0, "url:x", "-", false};
const FileState kFile{5, 77};
Stamp stamp(const std::string& hash, const std::string& origin, const std::string& edition = "-") {
  return {hash, 5, 77, origin, edition};
}
Stamp stale(const std::string& hash, const std::string& origin) {
  return {hash, 5, 76, origin, "-"};
}

const Case kCases[] = {
    {"Nothing", kCatalogue, {}, {}, Presence::kAbsent},
    {"NothingButAStamp", kCatalogue, {}, stamp(kHash, "catalog:x"), Presence::kAbsent},
    {"Stamped", kCatalogue, kFile, stamp(kHash, "catalog:x"), Presence::kWhole},
    {"StampedFromElsewhereWithTheSameHash", kCatalogue, kFile, stamp(kHash, "file:y"),
     Presence::kWhole},
    {"StampedWithAnotherHash", kCatalogue, kFile, stamp(kOtherHash, "catalog:x"),
     Presence::kReplace},
    {"NoStamp", kCatalogue, kFile, {}, Presence::kMustHash},
    {"TouchedSinceTheStamp", kCatalogue, kFile, stale(kHash, "catalog:x"), Presence::kMustHash},
    {"TornIsNotEvenHashed", kCatalogue, FileState{4, 77}, stamp(kHash, "catalog:x"),
     Presence::kReplace},
    {"UncheckedStamped", kUrl, kFile, stamp(kHash, "url:x"), Presence::kWhole},
    {"UncheckedTouched", kUrl, kFile, stale(kHash, "url:x"), Presence::kReplace},
    {"UncheckedFromElsewhere", kUrl, kFile, stamp(kHash, "url:y"), Presence::kForeign},
    {"UncheckedOfSomebody", kUrl, kFile, {}, Presence::kForeign},
    {"UncheckedOlderEdition", kUrl, kFile, stamp(kHash, "url:x", "old"), Presence::kReplace},
    {"CheckedStamped", kUrlChecked, kFile, stamp(kHash, "url:y"), Presence::kWhole},
    {"CheckedOfSomebody", kUrlChecked, kFile, {}, Presence::kMustHash},
    {"CheckedWithAnotherHash", kUrlChecked, kFile, stamp(kOtherHash, "url:x"), Presence::kReplace},
    {"CheckedFromElsewhereWithAnotherHash", kUrlChecked, kFile, stamp(kOtherHash, "url:y"),
     Presence::kForeign},
};
INSTANTIATE_TEST_SUITE_P(, Judge, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(JudgeHash, ReplacesOnlyWhatIsOurs) {
  EXPECT_EQ(judge_hash(kCatalogue, kHash, {}), Presence::kWhole);
  EXPECT_EQ(judge_hash(kCatalogue, kOtherHash, {}), Presence::kReplace);
  EXPECT_EQ(judge_hash(kUrlChecked, kHash, {}), Presence::kWhole);
  EXPECT_EQ(judge_hash(kUrlChecked, kOtherHash, {}), Presence::kForeign);
  EXPECT_EQ(judge_hash(kUrlChecked, kOtherHash, stale(kHash, "url:x")), Presence::kReplace);
}

}  // namespace
}  // namespace choir
