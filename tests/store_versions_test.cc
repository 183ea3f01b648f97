// Stores and databases of other versions than the program's: upgraded, or refused and left alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "base/check.h"
#include "context/conversation_folder.h"
#include "context/sqlite.h"
#include "tests/small_disk.h"
#include "tests/store_folder.h"

namespace choir {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

// ---- the store

// A store as the first release made it, with one conversation. It is never changed: such files
// exist.
const std::string kVersion1 =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE conversations (number INTEGER PRIMARY KEY, executor BLOB NOT NULL,"
    " id BLOB NOT NULL, model_fingerprint BLOB NOT NULL, tokens_max INTEGER NOT NULL,"
    " maintain INTEGER NOT NULL, created_ms INTEGER NOT NULL, last_used_ms INTEGER NOT NULL,"
    " turns INTEGER NOT NULL, checksum INTEGER NOT NULL, UNIQUE (executor, id));"
    "CREATE TABLE history (conversation INTEGER NOT NULL REFERENCES conversations ON DELETE"
    " CASCADE, position INTEGER NOT NULL, name BLOB NOT NULL, bytes BLOB NOT NULL,"
    " PRIMARY KEY (conversation, position)) WITHOUT ROWID;"
    "CREATE TABLE tokens (conversation INTEGER NOT NULL REFERENCES conversations ON DELETE"
    " CASCADE, position INTEGER NOT NULL, name BLOB NOT NULL, bytes BLOB NOT NULL,"
    " PRIMARY KEY (conversation, position)) WITHOUT ROWID;"
    "CREATE TABLE texts (conversation INTEGER NOT NULL REFERENCES conversations ON DELETE"
    " CASCADE, position INTEGER NOT NULL, name BLOB NOT NULL, bytes BLOB NOT NULL,"
    " PRIMARY KEY (conversation, position)) WITHOUT ROWID;"
    "CREATE TABLE metadata (conversation INTEGER NOT NULL REFERENCES conversations ON DELETE"
    " CASCADE, position INTEGER NOT NULL, name BLOB NOT NULL, bytes BLOB NOT NULL,"
    " PRIMARY KEY (conversation, position)) WITHOUT ROWID;"
    "INSERT INTO conversations VALUES (1, CAST('writer' AS BLOB), CAST('42' AS BLOB),"
    " CAST('f1' AS BLOB), 2048, 1, 1700000000000, 1700000001000, 1,"
    " 4299235362251680591);"
    "INSERT INTO history VALUES (1, 0, CAST('user' AS BLOB), CAST('Hello' AS BLOB)),"
    " (1, 1, CAST('assistant' AS BLOB), CAST('Hi.' AS BLOB));"
    "INSERT INTO tokens VALUES (1, 0, zeroblob(0), x'010000000200000003000000');"
    "INSERT INTO texts VALUES (1, 0, CAST('system' AS BLOB), CAST('Be brief.' AS BLOB)),"
    " (1, 1, CAST('covered' AS BLOB), CAST('Hello Hi.' AS BLOB));"
    "INSERT INTO metadata VALUES (1, 0, CAST('title' AS BLOB), CAST('Greeting' AS BLOB));"
    "PRAGMA application_id = 0x43484356; PRAGMA user_version = 1;";

ConversationRecord kept_by_version_1() {
  ConversationRecord r = record("writer", "42");
  r.system = "Be brief.";
  r.history = {{"user", "Hello"}, {"assistant", "Hi."}};
  r.tokens = {1, 2, 3};
  r.covered = "Hello Hi.";
  r.model_fingerprint = "f1";
  r.tokens_max = 2048;
  r.metadata = {{"title", "Greeting"}};
  r.created_ms = 1'700'000'000'000;
  r.last_used_ms = 1'700'000'001'000;
  r.turns = 1;
  return r;
}

class StoreVersions : public StoreFolder {
 protected:
  void make(const std::string& statements) {
    fs::create_directory(folder_ / "store");
    sql(database(), statements);
  }
};

TEST_F(StoreVersions, ANewOneHasTheVersionOfTheProgram) {
  open();
  store_.reset();
  EXPECT_THAT(sql(database(), "PRAGMA user_version; PRAGMA application_id"),
              ElementsAre("1|", "1128809302|"));
}

TEST_F(StoreVersions, ANewOneHasTheTablesOfAnUpgradedOne) {
  open();
  store_.reset();
  sql(folder_ / "old.db", kVersion1);
  const std::string tables = "SELECT name, sql FROM sqlite_master ORDER BY name";
  EXPECT_EQ(sql(database(), tables), sql(folder_ / "old.db", tables));
}

struct OldCase {
  std::string name, alteration;
};
void PrintTo(const OldCase& c, std::ostream* out) { *out << c.name; }

class StoreOfBefore : public StoreVersions, public testing::WithParamInterface<OldCase> {};

TEST_P(StoreOfBefore, GoesOnWorking) {
  make(kVersion1 + GetParam().alteration);
  open();
  ConversationRecord r = kept_by_version_1();
  expect_kept(r);
  append_turn(r, 40, 200);
  ASSERT_TRUE(store_->put(r));
  ASSERT_TRUE(store_->put(record("writer", "new")));
  reopen();
  expect_kept(r);
  EXPECT_THAT(store_->ids("writer").value(), ElementsAre("42", "new"));
  store_.reset();
  EXPECT_THAT(sql(database(), "PRAGMA user_version"), ElementsAre("1|"));
}

const OldCase kOld[] = {
    {"Version1", ""},
    {"WithoutAVersion", "PRAGMA user_version = 0"},
    {"CopiedWithoutItsLog", "PRAGMA journal_mode = DELETE"},
};
INSTANTIATE_TEST_SUITE_P(, StoreOfBefore, testing::ValuesIn(kOld),
                         [](const auto& c) { return c.param.name; });

struct RefusedCase {
  std::string name, alteration, says;
};
void PrintTo(const RefusedCase& c, std::ostream* out) { *out << c.name; }

class StoreRefused : public StoreVersions, public testing::WithParamInterface<RefusedCase> {};

TEST_P(StoreRefused, IsLeftAlone) {
  make(kVersion1 + GetParam().alteration);
  const std::string before = text_of_file(database());
  expect_refused(GetParam().says);
  EXPECT_EQ(text_of_file(database()), before);
}

const RefusedCase kRefused[] = {
    {"Newer", "PRAGMA user_version = 2",
     "has schema version 2, this build reads at most 1; use the newer Choir that wrote it, or give "
     "another folder"},
    {"MuchNewer", "PRAGMA user_version = 2147483647", "has schema version 2147483647"},
    {"Negative", "PRAGMA user_version = -1", "has schema version -1, which no Choir writes"},
    {"OfNobody", "PRAGMA application_id = 0", "is of another program"},
    {"OfAnother", "PRAGMA application_id = 7", "is of another program"},
};
INSTANTIATE_TEST_SUITE_P(, StoreRefused, testing::ValuesIn(kRefused),
                         [](const auto& c) { return c.param.name; });

// A newer Choir that was killed leaves changes in the log beside the file.
TEST_F(StoreVersions, TheLogOfANewerOneIsLeftAloneToo) {
  make("SELECT 1");
  sqlite3* newer = nullptr;
  ASSERT_EQ(sqlite3_open(database().c_str(), &newer), SQLITE_OK);
  sqlite3_db_config(newer, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  const std::string statements = kVersion1 + "PRAGMA user_version = 2";
  ASSERT_EQ(sqlite3_exec(newer, statements.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(newer);
  const std::string file = text_of_file(database());
  const std::string log = text_of_file(database() + "-wal");
  ASSERT_FALSE(log.empty());
  expect_refused("has schema version 2, this build reads at most 1");
  EXPECT_EQ(text_of_file(database()), file);
  EXPECT_EQ(text_of_file(database() + "-wal"), log);
}

TEST_F(StoreVersions, TheSnapshotsOfANewerOneAreLeftAloneToo) {
  make(kVersion1 + "PRAGMA user_version = 2");
  const std::string left = folder_.write("store/kv/0.kv.tmp.aB3xY9", "written by the newer one");
  ASSERT_FALSE(ConversationFolder::open(folder_ / "store", 0));
  EXPECT_TRUE(fs::exists(left));
}

TEST_F(StoreVersions, OneThatCannotBeWrittenIsRefused) {
  constexpr uid_t kNobody = 65534;
  make(kVersion1);
  ASSERT_EQ(::chmod(database().c_str(), 0400), 0);
  const std::string before = text_of_file(database());
  const bool root = ::geteuid() == 0;  // to whom no file is closed
  if (root) {
    for (const std::string& path : {folder_.path(), folder_ / "store", database()})
      ASSERT_EQ(::chown(path.c_str(), kNobody, kNobody), 0);
    ASSERT_EQ(::seteuid(kNobody), 0);
  }
  expect_refused("Permission denied; make it writable, or give another folder");
  if (root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
  EXPECT_EQ(text_of_file(database()), before);
}

// ---- upgrades of a database with several versions

constexpr int kNotes = 300;

Status first(SqliteDatabase& database) {
  return database.script("CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT)");
}
Status second(SqliteDatabase& database) {
  return database.script("UPDATE notes SET text = text || '!'");
}
Status third(SqliteDatabase& database) {
  CHOIR_CHECK_OK(database.script("ALTER TABLE notes ADD COLUMN bytes INTEGER"));
  return database.run("UPDATE notes SET bytes = length(text) + ?1", std::int64_t{1});
}

SqliteSchema schema_of(std::vector<SqliteStep> steps) {
  return {.application_id = 7, .steps = std::move(steps)};
}

class Upgrade : public testing::Test {
 protected:
  // A file of this version with notes that were written in it.
  void make(std::vector<SqliteStep> steps) {
    ASSERT_TRUE(SqliteDatabase::open(path_, schema_of(std::move(steps))));
    sql(path_, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
                   std::to_string(kNotes) +
                   ") INSERT INTO notes (number, text) SELECT i, printf('%.*c', 1000, 'x') FROM n");
  }
  std::vector<std::string> versions_and_sums() const {
    return sql(path_,
               "PRAGMA integrity_check; PRAGMA user_version;"
               "SELECT count(*), sum(length(text)) FROM notes");
  }
  void expect_version(int version, int sum) const {
    EXPECT_THAT(versions_and_sums(), ElementsAre("ok|", std::to_string(version) + "|",
                                                 "300|" + std::to_string(sum) + "|"));
  }

  const TempFolder folder_;
  const std::string path_ = folder_ / "notes.db";
};

TEST_F(Upgrade, OfANewFileRunsAllSteps) {
  ASSERT_TRUE(SqliteDatabase::open(path_, schema_of({first, second, third})));
  EXPECT_THAT(sql(path_, "PRAGMA user_version; SELECT count(bytes) FROM notes"),
              ElementsAre("3|", "0|"));
}

TEST_F(Upgrade, RunsTheStepsThatAFileLacks) {
  make({first});
  ASSERT_TRUE(SqliteDatabase::open(path_, schema_of({first, second, third})));
  expect_version(3, kNotes * 1001);
  EXPECT_THAT(sql(path_, "SELECT DISTINCT bytes FROM notes"), ElementsAre("1002|"));
}

TEST_F(Upgrade, RunsAStepOnce) {
  make({first, second});
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(SqliteDatabase::open(path_, schema_of({first, second, third})));
  expect_version(3, kNotes * 1000);
}

struct FailureCase {
  std::string name;
  SqliteStep step;
  std::string says;
};
void PrintTo(const FailureCase& c, std::ostream* out) { *out << c.name; }

class UpgradeFailure : public Upgrade, public testing::WithParamInterface<FailureCase> {};

TEST_P(UpgradeFailure, LeavesTheFileAsItWas) {
  make({first});
  const std::string before = text_of_file(path_);
  const auto opened = SqliteDatabase::open(path_, schema_of({first, second, GetParam().step}));
  ASSERT_FALSE(opened);
  expect_unavailable(opened.error(),
                     "schema version 1 could not be upgraded to 3 and is unchanged");
  EXPECT_THAT(opened.error().message, HasSubstr(GetParam().says));
  EXPECT_EQ(text_of_file(path_), before);
  expect_version(1, kNotes * 1000);
  ASSERT_TRUE(SqliteDatabase::open(path_, schema_of({first})));
  ASSERT_TRUE(SqliteDatabase::open(path_, schema_of({first, second, third})));
  expect_version(3, kNotes * 1001);
}

const FailureCase kFailures[] = {
    {"ByItself", [](SqliteDatabase&) { return fail(Code::kUnavailable, "no way"); }, "no way"},
    {"ByItsStatement", [](SqliteDatabase& d) { return d.script("UPDATE missing SET a = 1"); },
     "no such table"},
    {"AfterChanges",
     [](SqliteDatabase& d) -> Status {
       CHOIR_CHECK_OK(d.script("DELETE FROM notes; DROP TABLE notes; CREATE TABLE other (a)"));
       return d.script("INSERT INTO other VALUES (1, 2)");
     },
     "has 1 column"},
    {"OnAFullDisk",
     [](SqliteDatabase& d) {
       const SmallDisk disk(1 << 20);
       return d.script("INSERT INTO notes (text) SELECT printf('%.*c', 4000000, 'y')");
     },
     "the disk is full"},
};
INSTANTIATE_TEST_SUITE_P(, UpgradeFailure, testing::ValuesIn(kFailures),
                         [](const auto& c) { return c.param.name; });

TEST_F(Upgrade, OnADiskThatIsFullAtItsEndLeavesTheFileAsItWas) {
  make({first});
  const std::string before = text_of_file(path_);
  {
    const SmallDisk disk(100 << 10);  // less than the log of the upgrade needs
    const auto opened = SqliteDatabase::open(path_, schema_of({first, second, third}));
    ASSERT_FALSE(opened);
    expect_unavailable(opened.error(), "the disk is full");
  }
  EXPECT_EQ(text_of_file(path_), before);
  ASSERT_TRUE(SqliteDatabase::open(path_, schema_of({first, second, third})));
  expect_version(3, kNotes * 1001);
}

// Upgrades in a process of its own that the kernel kills where a file would grow beyond `bytes`.
// One that is not killed ends after the commit, before the log is written into the file. True: it
// was killed.
bool upgrade_and_die(const std::string& path, rlim_t bytes) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{0, 0};
    const rlimit small{bytes, bytes};
    ::setrlimit(RLIMIT_CORE, &none);
    ::setrlimit(RLIMIT_FSIZE, &small);
    ::signal(SIGXFSZ, SIG_DFL);
    const auto opened = SqliteDatabase::open(path, schema_of({first, second, third}));
    ::_exit(opened ? 0 : 1);
  }
  CHOIR_CHECK(child > 0, "a process of its own");
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "it failed by itself";
  return WIFSIGNALED(status);
}

TEST_F(Upgrade, ThatIsKilledAtAnyMomentIsWholeOrNotBegun) {
  make({first});
  const std::string old = text_of_file(path_);
  int before = 0;
  int after = 0;
  for (rlim_t bytes = 0; bytes < 1'200'000; bytes += 37'000) {
    SCOPED_TRACE("killed at byte " + std::to_string(bytes));
    for (const char* beside : {"", "-wal", "-shm"}) fs::remove(path_ + beside);
    folder_.write("notes.db", old);
    const bool killed = upgrade_and_die(path_, bytes);
    const std::vector<std::string> seen = versions_and_sums();
    ASSERT_THAT(seen, AnyOf(ElementsAre("ok|", "1|", "300|300000|"),
                            ElementsAre("ok|", "3|", "300|300300|")));
    EXPECT_EQ(seen[1], killed ? "1|" : "3|");
    ++(killed ? before : after);
    ASSERT_TRUE(SqliteDatabase::open(path_, schema_of({first, second, third})));
    expect_version(3, kNotes * 1001);
  }
  EXPECT_GT(before, 0) << "no kill was in the middle of the upgrade";
  EXPECT_GT(after, 0) << "all kills were before its commit";
}

TEST_F(Upgrade, OfANewerFileIsRefused) {
  make({first, second, third});
  const std::string before = text_of_file(path_);
  const auto opened = SqliteDatabase::open(path_, schema_of({first, second}));
  ASSERT_FALSE(opened);
  expect_unavailable(opened.error(), "has schema version 3, this build reads at most 2");
  EXPECT_EQ(text_of_file(path_), before);
}

}  // namespace
}  // namespace choir
