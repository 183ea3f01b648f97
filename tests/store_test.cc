#include "context/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/store_folder.h"

namespace choir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::atomic<int> syncs{0};

class Store : public StoreFolder {};

struct RecordCase {
  std::string name;
  std::function<void(ConversationRecord&)> change;
};
void PrintTo(const RecordCase& c, std::ostream* out) { *out << c.name; }

class StoreRecord : public StoreFolder, public testing::WithParamInterface<RecordCase> {};

TEST_P(StoreRecord, ComesBackAfterARestart) {
  ConversationRecord r = record("a", "b");
  GetParam().change(r);
  open();
  ASSERT_TRUE(store_->put(r));
  expect_kept(r);
  reopen();
  expect_kept(r);
  EXPECT_THAT(store_->all(r.executor).value(), ElementsAre(r));
}

TEST_P(StoreRecord, CanReplaceAnyOther) {
  ConversationRecord r = record("a", "b");
  GetParam().change(r);
  open();
  for (int i = 0; i < 5; ++i) {
    ConversationRecord other = record(r.executor, r.id);
    for (int turns = 0; turns < i; ++turns) append_turn(other, 300, 3000);
    ASSERT_TRUE(store_->put(other));
    ASSERT_TRUE(store_->put(r));
    expect_kept(r);
  }
}

const std::string kOdd("\0a\n\xF0\x9F\x8E\xB6\0'\";--", 13);

const RecordCase kRecords[] = {
    {"Empty", [](auto&) {}},
    {"Usual",
     [](auto& r) {
       r.system = "You are brief.";
       append_turn(r, 40, 200);
       r.model_fingerprint = "f1";
       r.tokens_max = 2048;
       r.metadata = {{"title", "Greeting"}, {"", ""}};
       r.created_ms = 1'700'000'000'000;
       r.last_used_ms = 1'700'000'001'000;
     }},
    {"OddStrings",
     [](auto& r) {
       r.executor = r.id = r.system = r.covered = r.model_fingerprint = kOdd;
       r.history = {{kOdd, kOdd}, {"", ""}, {"user", ""}};
       r.metadata = {{kOdd, kOdd}, {std::string(1, '\0'), ""}};
     }},
    {"OddNumbers",
     [](auto& r) {
       r.tokens = {0, -1, std::numeric_limits<TokenId>::max(), std::numeric_limits<TokenId>::min()};
       r.tokens_max = std::numeric_limits<std::int32_t>::min();
       r.maintain = false;
       r.created_ms = std::numeric_limits<std::int64_t>::min();
       r.last_used_ms = std::numeric_limits<std::int64_t>::max();
       r.turns = std::numeric_limits<std::uint64_t>::max();
     }},
    {"WholePieces",
     [](auto& r) {
       r.tokens.resize(480, 3);
       r.system.resize(960, 's');
       r.covered.resize(1920, 'c');
     }},
    {"OneMoreThanAPiece",
     [](auto& r) {
       r.tokens.resize(241, 3);
       r.system.resize(961, 's');
       r.covered.resize(961, 's');
     }},
    {"LongestNames",
     [](auto& r) {
       r.executor.assign(kNameBytesMax, 'e');
       r.id.assign(kNameBytesMax, 'i');
     }},
    {"Large",
     [](auto& r) {
       for (int i = 0; i < 200; ++i) append_turn(r, 300, 9000);
     }},
};
INSTANTIATE_TEST_SUITE_P(, StoreRecord, testing::ValuesIn(kRecords),
                         [](const auto& c) { return c.param.name; });

struct LimitCase {
  std::string name;
  std::function<void(ConversationRecord&)> change;
  std::string says;
};
void PrintTo(const LimitCase& c, std::ostream* out) { *out << c.name; }

class StoreLimit : public StoreFolder, public testing::WithParamInterface<LimitCase> {};

TEST_P(StoreLimit, IsHeld) {
  open();
  ConversationRecord r = record("a", "b");
  GetParam().change(r);
  const Status status = store_->put(r);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kInvalidArgument);
  EXPECT_THAT(status.error().message, HasSubstr(GetParam().says));
  EXPECT_THAT(store_->ids("a").value(), IsEmpty());
}

const LimitCase kLimits[] = {
    {"NoExecutor", [](auto& r) { r.executor.clear(); }, "name of an executor and an id"},
    {"NoId", [](auto& r) { r.id.clear(); }, "name of an executor and an id"},
    {"LongExecutor", [](auto& r) { r.executor.resize(257); }, "257 bytes of executor, at most 256"},
    {"LongId", [](auto& r) { r.id.resize(257); }, "257 bytes of id"},
    {"LongRole",
     [](auto& r) {
       r.history = {{std::string(257, 'r'), ""}};
     },
     "257 bytes of role"},
    {"LongFingerprint", [](auto& r) { r.model_fingerprint.resize(257); }, "model_fingerprint"},
    {"ManyMessages", [](auto& r) { r.history.resize(kMessagesMax + 1); }, "16385 messages"},
    {"MuchText",
     [](auto& r) {
       r.system.resize(kPromptBytesMax);
       r.history = {{"user", "x"}};
     },
     "67108865 bytes of text"},
    {"MuchCovered", [](auto& r) { r.covered.resize(kCoveredBytesMax + 1); }, "covered text"},
    {"ManyTokens", [](auto& r) { r.tokens.resize(kConversationTokensMax + 1); }, "tokens"},
    {"MuchMetadata", [](auto& r) { r.metadata["k"].resize(kMetadataBytesMax); }, "metadata"},
};
INSTANTIATE_TEST_SUITE_P(, StoreLimit, testing::ValuesIn(kLimits),
                         [](const auto& c) { return c.param.name; });

// One edit as a node makes them, and some that it never makes.
void edit(ConversationRecord& r, std::mt19937& rng) {
  const auto upto = [&](std::size_t n) { return static_cast<std::size_t>(rng() % n); };
  switch (upto(10)) {
    case 0:
      r.system.assign(upto(2000), static_cast<char>('a' + upto(26)));
      break;
    case 1:  // the last answer again
      if (!r.history.empty()) r.history.back().content.assign(upto(3000), 'z');
      if (!r.tokens.empty()) r.tokens.back() += 1;
      r.covered.resize(upto(r.covered.size() + 1));
      break;
    case 2:  // the oldest turns leave, all is rendered anew
      r.history.erase(r.history.begin(),
                      r.history.begin() + static_cast<std::ptrdiff_t>(upto(r.history.size() + 1)));
      r.tokens.assign(upto(1000), static_cast<TokenId>(upto(99)));
      r.covered.assign(upto(4000), static_cast<char>('A' + upto(26)));
      break;
    case 3:
      r.metadata[std::string(1, static_cast<char>('a' + upto(4)))].assign(upto(50), 'm');
      break;
    case 4:
      if (!r.metadata.empty()) r.metadata.erase(r.metadata.begin());
      r.maintain = !r.maintain;
      break;
    default:
      append_turn(r, upto(300), upto(2000));
      r.last_used_ms += 1000;
  }
}

// Numbers of conversations are the only thing that may differ.
std::vector<std::string> rows_of(const std::string& path) {
  std::string statements;
  for (const char* table : {"history", "tokens", "texts", "metadata"})
    statements += std::string("SELECT executor, hex(id), position, hex(name), hex(bytes) FROM ") +
                  table + " JOIN conversations ON conversation = number ORDER BY 1, 2, 3;";
  return sql(path,
             statements +
                 "SELECT executor, hex(id), model_fingerprint, tokens_max, maintain, "
                 "created_ms, last_used_ms, turns, checksum FROM conversations ORDER BY 1, 2");
}

class StoreEdits : public StoreFolder, public testing::WithParamInterface<std::uint32_t> {};

TEST_P(StoreEdits, LeaveWhatOneWriteWould) {
  std::mt19937 rng(GetParam());
  open();
  std::vector<ConversationRecord> records = {record("a", "1"), record("a", "2"), record("b", "1")};
  for (int i = 0; i < 60; ++i) {
    ConversationRecord& r = records[rng() % records.size()];
    if (rng() % 12 == 0) reopen();
    if (rng() % 12 == 0) {
      ASSERT_TRUE(store_->erase(r.executor, r.id));
    }
    edit(r, rng);
    ASSERT_TRUE(store_->put(r));
    expect_kept(r);
  }
  for (const ConversationRecord& r : records) ASSERT_TRUE(store_->put(r));
  const auto once = ConversationStore::open(folder_ / "once").value();
  for (const ConversationRecord& r : records) ASSERT_TRUE(once->put(r));
  EXPECT_EQ(rows_of(database()), rows_of(folder_ / "once/conversations.db"));
}

INSTANTIATE_TEST_SUITE_P(Seed, StoreEdits, testing::Range(1U, 11U));

TEST_F(Store, WritesLittleForATurnMore) {
  ConversationRecord r = record("a", "b");
  for (int i = 0; i < 1000; ++i) append_turn(r, 100, 1000);
  open();
  ASSERT_TRUE(store_->put(r));
  reopen();  // which empties the log
  append_turn(r, 40, 200);
  ASSERT_TRUE(store_->put(r));
  EXPECT_LT(std::filesystem::file_size(database() + "-wal"), 256U << 10U) << "of more than 2 MB";
  expect_kept(r);
}

TEST_F(Store, HasOnTheDiskWhatItAnswersFor) {
  open();
  ASSERT_TRUE(store_->put(record("a", "b")));
  syncs = 0;
  ASSERT_TRUE(store_->put(record("a", "c")));
  EXPECT_EQ(syncs, 1);
  ASSERT_TRUE(store_->erase("a", "b"));
  EXPECT_EQ(syncs, 2);
}

TEST_F(Store, KnowsNobodyAtFirst) {
  open();
  EXPECT_EQ(store_->get("a", "b").value(), std::nullopt);
  EXPECT_THAT(store_->ids("a").value(), IsEmpty());
  EXPECT_THAT(store_->all("a").value(), IsEmpty());
  EXPECT_TRUE(store_->erase("a", "b"));
}

TEST_F(Store, KeepsExecutorsApart) {
  open();
  for (const char* id : {"2", "10", "1"}) ASSERT_TRUE(store_->put(record("a", id)));
  ASSERT_TRUE(store_->put(record("b", "1")));
  EXPECT_THAT(store_->ids("a").value(), ElementsAre("1", "10", "2"));
  ASSERT_TRUE(store_->erase("a", "1"));
  EXPECT_THAT(store_->all("a").value(), ElementsAre(record("a", "10"), record("a", "2")));
  EXPECT_THAT(store_->ids("b").value(), ElementsAre("1"));
}

TEST_F(Store, ErasesEverythingOfAConversation) {
  ConversationRecord r = record("a", "b");
  append_turn(r, 300, 3000);
  r.system = r.metadata["k"] = "v";
  open();
  ASSERT_TRUE(store_->put(r));
  ASSERT_TRUE(store_->erase("a", "b"));
  EXPECT_EQ(store_->get("a", "b").value(), std::nullopt);
  for (const char* table : {"conversations", "history", "tokens", "texts", "metadata"})
    EXPECT_THAT(sql(database(), std::string("SELECT count(*) FROM ") + table), ElementsAre("0|"));
}

TEST_F(Store, TakesPutsFromManyThreads) {
  open();
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([this, t] {
      ConversationRecord r = record("a", std::to_string(t));
      for (int i = 0; i < 10; ++i) {
        append_turn(r, 30, 100);
        EXPECT_TRUE(store_->put(r));
        expect_kept(r);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(store_->ids("a").value(), ElementsAre("0", "1", "2", "3"));
}

TEST_F(Store, IsForItsOwnerOnly) {
  open();
  ASSERT_TRUE(store_->put(record("a", "b")));
  const auto mode = [this](const char* name) {
    struct stat info {};
    EXPECT_EQ(::stat((folder_ / name).c_str(), &info), 0) << name;
    return info.st_mode & 0777U;
  };
  EXPECT_EQ(mode("store"), 0700U);
  EXPECT_EQ(mode("store/conversations.db"), 0600U);
  EXPECT_EQ(mode("store/conversations.db-wal"), 0600U);
}

TEST_F(Store, FolderMayBeDeepAndEndInASlash) {
  const auto store = ConversationStore::open(folder_ / "some/where/");
  ASSERT_TRUE(store);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "some/where/conversations.db"));
}

}  // namespace
}  // namespace choir

// Count what waits for the disk: a test cannot pull the plug. SQLite uses the one or the other.
extern "C" __attribute__((visibility("default"))) int fsync(int fd) {
  ++choir::syncs;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
extern "C" __attribute__((visibility("default"))) int fdatasync(int fd) {
  ++choir::syncs;
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
