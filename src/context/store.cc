#include "context/store.h"

#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/disk.h"
#include "choir/text.h"
#include "context/sqlite.h"

namespace choir {
namespace {

namespace fs = std::filesystem;

// ---- a record as rows

// Every list of a conversation has its table; a row has a position, a name and bytes.
//   history   role, content                    tokens    -, a piece of them, little endian
//   texts     the text's name, a piece of it   metadata  key, value
enum List : std::size_t { kHistory, kTokens, kTexts, kMetadata, kListCount };
constexpr std::array<const char*, kListCount> kTables = {"history", "tokens", "texts", "metadata"};
static_assert(std::endian::native == std::endian::little);

// One turn more rewrites the last piece and adds some. With its key a piece is below the 1,002
// bytes that an index page of 4,096 takes of a row before it wants another page for the rest.
constexpr std::size_t kPieceBytes = 960;

struct Item {
  std::string_view name, bytes;
  bool operator==(const Item&) const = default;
};
using Lists = std::array<std::vector<Item>, kListCount>;

std::string_view bytes_of_tokens(const std::vector<TokenId>& tokens) {
  return {reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(TokenId)};
}

void add_pieces(std::vector<Item>& list, std::string_view name, std::string_view bytes) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPieceBytes)))
    list.push_back({name, bytes.substr(0, kPieceBytes)});
}

// Views into the record.
Lists lists_of(const ConversationRecord& record) {
  Lists lists;
  for (const Message& message : record.history)
    lists[kHistory].push_back({message.role, message.content});
  add_pieces(lists[kTokens], "", bytes_of_tokens(record.tokens));
  add_pieces(lists[kTexts], "system", record.system);
  add_pieces(lists[kTexts], "covered", record.covered);
  for (const auto& [key, value] : record.metadata) lists[kMetadata].push_back({key, value});
  return lists;
}

// The other way round. Of what lists_of() would not give something is made that does not have the
// checksum.
void add_to(ConversationRecord& record, std::size_t list, const Item& item) {
  if (list == kHistory) record.history.push_back({std::string(item.name), std::string(item.bytes)});
  if (list == kMetadata) record.metadata.emplace(item.name, item.bytes);
  if (list == kTexts) (item.name == "system" ? record.system : record.covered) += item.bytes;
  if (list == kTokens) {
    const std::size_t begin = record.tokens.size();
    const std::size_t count = item.bytes.size() / sizeof(TokenId);
    record.tokens.resize(begin + count);
    std::copy_n(item.bytes.data(), count * sizeof(TokenId),
                reinterpret_cast<char*>(record.tokens.data() + begin));
  }
}

// Of everything in the record. Each hash is the next one's seed, so it counts where strings end.
std::int64_t checksum(const ConversationRecord& r) {
  const std::array<std::uint64_t, 8> numbers = {static_cast<std::uint64_t>(r.tokens_max),
                                                r.maintain ? 1U : 0U,
                                                static_cast<std::uint64_t>(r.created_ms),
                                                static_cast<std::uint64_t>(r.last_used_ms),
                                                r.turns,
                                                r.history.size(),
                                                r.tokens.size(),
                                                r.metadata.size()};
  std::uint64_t sum = XXH3_64bits(numbers.data(), sizeof(numbers));
  const auto add = [&](std::string_view bytes) {
    sum = XXH3_64bits_withSeed(bytes.data(), bytes.size(), sum);
  };
  for (const std::string* text : {&r.executor, &r.id, &r.system, &r.covered, &r.model_fingerprint})
    add(*text);
  for (const Message& message : r.history) {
    add(message.role);
    add(message.content);
  }
  add(bytes_of_tokens(r.tokens));
  for (const auto& [key, value] : r.metadata) {
    add(key);
    add(value);
  }
  return static_cast<std::int64_t>(sum);
}

Status check_limits(const ConversationRecord& r) {
  if (r.executor.empty() || r.id.empty())
    return fail(Code::kInvalidArgument, "a conversation has the name of an executor and an id");
  struct Limit {
    const char* what;
    std::size_t seen, most;
  };
  std::size_t text_bytes = r.system.size();
  std::size_t role_bytes = 0;
  for (const Message& message : r.history) {
    text_bytes += message.content.size();
    role_bytes = std::max(role_bytes, message.role.size());
  }
  std::size_t metadata_bytes = 0;
  for (const auto& [key, value] : r.metadata) metadata_bytes += key.size() + value.size();
  for (const Limit& limit :
       {Limit{"bytes of executor", r.executor.size(), kNameBytesMax},
        Limit{"bytes of id", r.id.size(), kNameBytesMax},
        Limit{"bytes of role", role_bytes, kNameBytesMax},
        Limit{"bytes of model_fingerprint", r.model_fingerprint.size(), kNameBytesMax},
        Limit{"messages", r.history.size(), kMessagesMax},
        Limit{"bytes of text", text_bytes, kPromptBytesMax},
        Limit{"bytes of covered text", r.covered.size(), kCoveredBytesMax},
        Limit{"tokens", r.tokens.size(), kConversationTokensMax},
        Limit{"bytes of metadata", metadata_bytes, kMetadataBytesMax}})
    if (limit.seen > limit.most)
      return fail(Code::kInvalidArgument, "a conversation has " + std::to_string(limit.seen) + " " +
                                              limit.what + ", at most " +
                                              std::to_string(limit.most) + " are kept");
  return {};
}

// ---- rows on the disk

// The tables of a new store.
Status make_tables(SqliteDatabase& database) {
  CHOIR_CHECK_OK(
      database.script("CREATE TABLE conversations (number INTEGER PRIMARY KEY,"
                      " executor BLOB NOT NULL, id BLOB NOT NULL,"
                      " model_fingerprint BLOB NOT NULL, tokens_max INTEGER NOT NULL,"
                      " maintain INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
                      " last_used_ms INTEGER NOT NULL, turns INTEGER NOT NULL,"
                      " checksum INTEGER NOT NULL, UNIQUE (executor, id));"));
  for (const char* table : kTables)
    CHOIR_CHECK_OK(database.script(
        std::string("CREATE TABLE ") + table +
        " (conversation INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,"
        " position INTEGER NOT NULL, name BLOB NOT NULL, bytes BLOB NOT NULL,"
        " PRIMARY KEY (conversation, position)) WITHOUT ROWID;"));
  return {};
}

// A released step is never changed: stores that it has made exist. What checksum() takes in is part
// of the version too.
SqliteSchema schema() {
  return {.application_id = 0x43484356,  // "CHCV"
          .steps = {make_tables}};
}

constexpr const char* kPutConversation =
    "INSERT INTO conversations (executor, id, model_fingerprint, tokens_max, maintain, created_ms,"
    " last_used_ms, turns, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    " ON CONFLICT (executor, id) DO UPDATE SET model_fingerprint = ?3, tokens_max = ?4,"
    " maintain = ?5, created_ms = ?6, last_used_ms = ?7, turns = ?8, checksum = ?9";
constexpr const char* kGetConversation =
    "SELECT number, model_fingerprint, tokens_max, maintain, created_ms, last_used_ms, turns,"
    " checksum FROM conversations WHERE executor = ?1 AND id = ?2";

// Makes the stored list equal to `wanted`; reads it all, for a read costs next to nothing beside
// the sync of a commit, and writes what differs.
Status put_list(SqliteDatabase& database, const std::string& table, std::int64_t conversation,
                const std::vector<Item>& wanted) {
  std::vector<bool> stored(wanted.size());
  {
    SqliteQuery rows = CHOIR_TRY(database.query(
        "SELECT position, name, bytes FROM " + table + " WHERE conversation = ?1", conversation));
    while (CHOIR_TRY(rows.row())) {
      const auto position = static_cast<std::size_t>(rows.number(0));
      if (position < wanted.size())
        stored[position] = wanted[position] == Item{rows.bytes(1), rows.bytes(2)};
    }
  }
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!stored[i])
      CHOIR_CHECK_OK(database.run("REPLACE INTO " + table + " VALUES (?1, ?2, ?3, ?4)",
                                  conversation, static_cast<std::int64_t>(i), wanted[i].name,
                                  wanted[i].bytes));
  return database.run("DELETE FROM " + table + " WHERE conversation = ?1 AND position >= ?2",
                      conversation, static_cast<std::int64_t>(wanted.size()));
}

Status put_record(SqliteDatabase& database, const ConversationRecord& r) {
  CHOIR_CHECK_OK(database.run(kPutConversation, r.executor, r.id, r.model_fingerprint,
                              std::int64_t{r.tokens_max}, std::int64_t{r.maintain}, r.created_ms,
                              r.last_used_ms, static_cast<std::int64_t>(r.turns), checksum(r)));
  const std::int64_t number = CHOIR_TRY(database.number(kGetConversation, r.executor, r.id));
  const Lists lists = lists_of(r);
  for (std::size_t i = 0; i < kListCount; ++i)
    CHOIR_CHECK_OK(put_list(database, kTables[i], number, lists[i]));
  return {};
}

Result<std::optional<ConversationRecord>> get_record(SqliteDatabase& database,
                                                     const std::string& executor,
                                                     const std::string& id) {
  SqliteQuery row = CHOIR_TRY(database.query(kGetConversation, executor, id));
  if (!CHOIR_TRY(row.row())) return std::nullopt;
  ConversationRecord r;
  r.executor = executor;
  r.id = id;
  r.model_fingerprint = row.bytes(1);
  r.tokens_max = static_cast<std::int32_t>(row.number(2));
  r.maintain = row.number(3) != 0;
  r.created_ms = row.number(4);
  r.last_used_ms = row.number(5);
  r.turns = static_cast<std::uint64_t>(row.number(6));
  for (std::size_t i = 0; i < kListCount; ++i) {
    SqliteQuery items =
        CHOIR_TRY(database.query(std::string("SELECT name, bytes FROM ") + kTables[i] +
                                     " WHERE conversation = ?1 ORDER BY position",
                                 row.number(0)));
    while (CHOIR_TRY(items.row())) add_to(r, i, {items.bytes(0), items.bytes(1)});
  }
  if (checksum(r) == row.number(7)) return r;
  return fail(Code::kUnavailable,
              "database '" + database.path() + "': conversation '" + printable_line(id, 64) +
                  "' of '" + printable_line(executor, 64) +
                  "' does not have its checksum: altered from outside, or a failing disk; "
                  "restore a backup, or erase it");
}

Result<std::vector<std::string>> get_ids(SqliteDatabase& database, const std::string& executor) {
  SqliteQuery rows = CHOIR_TRY(
      database.query("SELECT id FROM conversations WHERE executor = ?1 ORDER BY id", executor));
  std::vector<std::string> ids;
  while (CHOIR_TRY(rows.row())) ids.emplace_back(rows.bytes(0));
  return ids;
}

// ---- the folder

// Absolute: SQLite would take "file:..." for a URI. Without a slash at its end, which would make
// the folder its own parent.
fs::path full_path(const std::string& folder) {
  std::error_code error;
  const fs::path full = (fs::absolute(folder, error) / "").lexically_normal();
  return error ? fs::path(folder) : full.parent_path();
}

Status make_private_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder.parent_path(), error);
  if (!error && ((::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) ||
                 ::access(folder.c_str(), R_OK | W_OK | X_OK) != 0))
    error = std::error_code(errno, std::generic_category());
  if (error)
    return fail(Code::kUnavailable, "cannot keep conversations in '" + folder.string() + "': " +
                                        error.message() + "; give a folder that you may write to");
  sync_folder(folder.parent_path().string());
  return {};
}

Result<FileLock> take_folder(const fs::path& folder) {
  auto lock = FileLock::take((folder / "lock").string(), "keep conversations on another disk",
                             [] { return false; });
  if (!lock && lock.error().code == Code::kCancelled)
    return fail(Code::kUnavailable, "the conversations in '" + folder.string() +
                                        "' are in use by another node; end it, or give this one "
                                        "another folder");
  return lock;
}

}  // namespace

Result<std::string> make_store_folder(const std::string& folder) {
  const fs::path full = full_path(folder);
  CHOIR_CHECK_OK(make_private_folder(full));
  std::error_code error;
  const fs::path path = fs::canonical(full, error);
  if (!error) return path.string();
  return fail(Code::kUnavailable, "cannot keep conversations in '" + full.string() + "': " +
                                      error.message() + "; give a folder that you may write to");
}

ConversationStore::ConversationStore(FileLock lock, std::unique_ptr<SqliteDatabase> database)
    : lock_(std::move(lock)), database_(std::move(database)) {}

ConversationStore::~ConversationStore() = default;

Result<std::unique_ptr<ConversationStore>> ConversationStore::open(const std::string& folder) {
  const fs::path full = full_path(folder);
  CHOIR_CHECK_OK(make_private_folder(full));
  FileLock lock = CHOIR_TRY(take_folder(full));
  auto database = CHOIR_TRY(SqliteDatabase::open((full / "conversations.db").string(), schema()));
  return std::unique_ptr<ConversationStore>(
      new ConversationStore(std::move(lock), std::move(database)));
}

Status ConversationStore::put(const ConversationRecord& record) {
  CHOIR_CHECK_OK(check_limits(record));
  return database_.with([&](auto& database) {
    return database->transaction([&] { return put_record(*database, record); });
  });
}

Status ConversationStore::erase(const std::string& executor, const std::string& id) {
  return database_.with([&](auto& database) {
    return database->run("DELETE FROM conversations WHERE executor = ?1 AND id = ?2", executor, id);
  });
}

Result<std::optional<ConversationRecord>> ConversationStore::get(const std::string& executor,
                                                                 const std::string& id) const {
  return database_.with([&](auto& database) { return get_record(*database, executor, id); });
}

Result<std::vector<std::string>> ConversationStore::ids(const std::string& executor) const {
  return database_.with([&](auto& database) { return get_ids(*database, executor); });
}

Result<std::vector<ConversationRecord>> ConversationStore::all(const std::string& executor) const {
  return database_.with([&](auto& database) -> Result<std::vector<ConversationRecord>> {
    std::vector<ConversationRecord> records;
    const std::vector<std::string> ids = CHOIR_TRY(get_ids(*database, executor));
    for (const std::string& id : ids)
      if (auto record = CHOIR_TRY(get_record(*database, executor, id)))
        records.push_back(*std::move(record));
    return records;
  });
}

}  // namespace choir
