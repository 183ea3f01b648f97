// What ConversationStore refuses, and what it says of a database that is not as it left it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>

#include "tests/small_disk.h"
#include "tests/store_folder.h"

namespace choir {
namespace {

using testing::ElementsAre;

class StoreDamage : public StoreFolder {};

TEST_F(StoreDamage, HasOneOwner) {
  open();
  expect_refused("are in use by another node");
  store_.reset();
  open();
}

TEST_F(StoreDamage, OfAnotherProgramIsRefusedAndLeftAlone) {
  std::filesystem::create_directory(folder_ / "store");
  sql(database(), "CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')");
  expect_refused("is of another program");
  EXPECT_THAT(sql(database(), "SELECT url FROM bookmarks"), ElementsAre("x|"));
}

TEST_F(StoreDamage, ThatIsNoDatabaseIsRefused) {
  folder_.write("store/conversations.db", std::string(5000, 'x'));
  expect_refused("file is not a database; restore a backup, or move it away");
}

TEST_F(StoreDamage, WhereNoFolderCanBeIsRefused) {
  folder_.write("store", "a file");
  expect_refused("give a folder that you may write to");
}

TEST_F(StoreDamage, ThatWasBegunAndKilledIsMade) {
  folder_.write("store/conversations.db", "");
  open();
  ASSERT_TRUE(store_->put(record("a", "b")));
}

TEST_F(StoreDamage, ThatIsDamagedSaysSo) {
  ConversationRecord r = record("a", "b");
  for (int i = 0; i < 100; ++i) append_turn(r, 100, 1000);
  open();
  ASSERT_TRUE(store_->put(r));
  store_.reset();
  std::fstream file(database(), std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(8192);  // behind the schema
  file << std::string(60'000, 'x');
  file.close();
  open();
  const auto got = store_->get("a", "b");
  ASSERT_FALSE(got);
  expect_unavailable(got.error(), "database '" + database() + "': ");
}

struct AlteredCase {
  std::string name, statement;
};
void PrintTo(const AlteredCase& c, std::ostream* out) { *out << c.name; }

class StoreAltered : public StoreFolder, public testing::WithParamInterface<AlteredCase> {};

TEST_P(StoreAltered, IsNoticedAndCanBePutRight) {
  ConversationRecord r = record("a", "b");
  for (int i = 0; i < 5; ++i) append_turn(r, 100, 1000);
  r.metadata["k"] = "v";
  r.system = "s";
  open();
  ASSERT_TRUE(store_->put(r));
  ASSERT_TRUE(store_->put(record("a", "other")));
  sql(database(), GetParam().statement);
  const auto got = store_->get("a", "b");
  ASSERT_FALSE(got);
  expect_unavailable(got.error(), "conversation 'b' of 'a' does not have its checksum");
  EXPECT_FALSE(store_->all("a"));
  EXPECT_THAT(store_->ids("a").value(), ElementsAre("b", "other"));
  expect_kept(record("a", "other"));
  ASSERT_TRUE(store_->put(r));
  expect_kept(r);
}

const AlteredCase kAltered[] = {
    {"ARole", "UPDATE history SET name = 'system' WHERE position = 2"},
    {"AnAnswer", "UPDATE history SET bytes = 'No.' WHERE position = 3"},
    {"AMessageLess", "DELETE FROM history WHERE position = 4"},
    {"AMessageMore", "INSERT INTO history VALUES (1, 10, 'user', 'x')"},
    {"ATokenPiece", "UPDATE tokens SET bytes = zeroblob(960) WHERE position = 1"},
    {"HalfAToken", "UPDATE tokens SET bytes = zeroblob(3) WHERE position = 1"},
    {"ATokenPieceMore", "INSERT INTO tokens VALUES (1, 9, '', zeroblob(4))"},
    {"AText", "UPDATE texts SET name = 'covered' WHERE name = CAST('system' AS BLOB)"},
    {"Metadata", "UPDATE metadata SET bytes = ''"},
    {"ACount", "UPDATE conversations SET turns = -1 WHERE number = 1"},
    {"ATime", "UPDATE conversations SET created_ms = 5 WHERE number = 1"},
    {"TheChecksum", "UPDATE conversations SET checksum = 0 WHERE number = 1"},
};
INSTANTIATE_TEST_SUITE_P(, StoreAltered, testing::ValuesIn(kAltered),
                         [](const auto& c) { return c.param.name; });

TEST_F(StoreDamage, ThatFillsUpTheDiskKeepsWhatItHad) {
  open();
  ConversationRecord r = record("a", "b");
  append_turn(r, 10, 100);
  ASSERT_TRUE(store_->put(r));
  ConversationRecord larger = r;
  for (int i = 0; i < 1000; ++i) append_turn(larger, 100, 1000);
  {
    const SmallDisk disk(256 << 10);
    const Status status = store_->put(larger);
    ASSERT_FALSE(status);
    expect_unavailable(status.error(), "the disk is full");
    expect_kept(r);
  }
  ASSERT_TRUE(store_->put(larger));
  reopen();
  expect_kept(larger);
}

}  // namespace
}  // namespace choir
