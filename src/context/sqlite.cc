#include "context/sqlite.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/disk.h"
#include "base/fd.h"
#include "choir/text.h"

namespace choir {
namespace {

constexpr int kBusyMs = 5000;  // a backup, or the sqlite3 program: both take moments

tl::unexpected<Error> unavailable(const std::string& path, const std::string& why) {
  return fail(Code::kUnavailable, "database '" + path + "': " + why);
}

std::string advice(int code) {
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "; restore a backup, or move it away to begin anew";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "; another program has it open: end that one";
    default:
      return "";
  }
}

// Makes the file before SQLite does, which would let others read it. SQLite gives the files beside
// it the same mode.
Status make_private_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) {
    const bool refused = errno == EACCES || errno == EPERM || errno == EROFS;
    return unavailable(path, std::generic_category().message(errno) +
                                 (refused ? "; make it writable, or give another folder" : ""));
  }
  sync_folder(std::filesystem::path(path).parent_path().string());
  return {};
}

}  // namespace

SqliteQuery::~SqliteQuery() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool SqliteQuery::bind(int index, std::int64_t number) {
  return sqlite3_bind_int64(statement_, index, number) == SQLITE_OK;
}

bool SqliteQuery::bind(int index, std::string_view bytes) {
  const char* data = bytes.data() != nullptr ? bytes.data() : "";  // a null pointer would be NULL
  return sqlite3_bind_blob64(statement_, index, data, bytes.size(), SQLITE_STATIC) == SQLITE_OK;
}

Result<bool> SqliteQuery::row() {
  const int code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) return database_.error();
  return code == SQLITE_ROW;
}

std::string_view SqliteQuery::bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::open(const std::string& path,
                                                             const SqliteSchema& schema) {
  CHOIR_CHECK_OK(make_private_file(path));
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(path));
  // Not SQLite's own locks: one thread at a time is what we ask for.
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path.c_str(), &database->connection_, flags, nullptr) != SQLITE_OK)
    return database->error();
  CHOIR_CHECK_OK(database->prepare(schema));
  return database;
}

SqliteDatabase::~SqliteDatabase() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

tl::unexpected<Error> SqliteDatabase::error() const {
  const int code = connection_ != nullptr ? sqlite3_errcode(connection_) & 0xFF : SQLITE_NOMEM;
  if (code == SQLITE_NOMEM)
    return fail(Code::kOutOfMemory, "database '" + path_ + "': no memory for it");
  const bool full = code == SQLITE_IOERR && is_disk_full(sqlite3_system_errno(connection_));
  if (full || code == SQLITE_FULL)
    return unavailable(path_, "the disk is full; free some space, or keep it on another disk");
  return unavailable(path_, sqlite3_errmsg(connection_) + advice(code));
}

Status SqliteDatabase::script(const std::string& sql) {
  if (sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    return error();
  return {};
}

Result<SqliteQuery> SqliteDatabase::compiled(const std::string& sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr &&
      sqlite3_prepare_v3(connection_, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &statement,
                         nullptr) != SQLITE_OK)
    return error();
  CHOIR_CHECK(sqlite3_stmt_busy(statement) == 0, "a statement has one user at a time");
  return SqliteQuery(*this, statement);
}

Result<std::int64_t> SqliteDatabase::version_of(const SqliteSchema& schema) {
  const std::int64_t version = CHOIR_TRY(number("PRAGMA user_version"));
  const std::int64_t application_id = CHOIR_TRY(number("PRAGMA application_id"));
  if (version == 0 && application_id == 0 &&
      CHOIR_TRY(number("SELECT count(*) FROM sqlite_master")) == 0)
    return 0;
  if (application_id != schema.application_id)
    return unavailable(path_, "is of another program; give another folder");
  if (version < 0)
    return unavailable(path_, "has schema version " + std::to_string(version) +
                                  ", which no Choir writes; restore a backup, or move it away to "
                                  "begin anew");
  if (version > schema.version())
    return unavailable(path_, "has schema version " + std::to_string(version) +
                                  ", this build reads at most " + std::to_string(schema.version()) +
                                  "; use the newer Choir that wrote it, or give another folder");
  return std::max<std::int64_t>(version, 1);
}

Status SqliteDatabase::upgrade(const SqliteSchema& schema) {
  const std::int64_t version = CHOIR_TRY(version_of(schema));
  for (std::int64_t i = version; i < schema.version(); ++i) {
    Status done = schema.steps[static_cast<std::size_t>(i)](*this);
    if (!done && version == 0) return done;
    if (!done)
      return tl::unexpected(std::move(done).error().in(
          "schema version " + std::to_string(version) + " could not be upgraded to " +
          std::to_string(i + 1) + " and is unchanged"));
  }
  CHOIR_CHECK_OK(script("PRAGMA application_id = " + std::to_string(schema.application_id)));
  return script("PRAGMA user_version = " + std::to_string(schema.version()));
}

Status SqliteDatabase::prepare(const SqliteSchema& schema) {
  sqlite3_busy_timeout(connection_, kBusyMs);
  // Else the end of the connection would write the log of a file that is refused into it.
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // The last two: the file may have been made to attack this process.
  CHOIR_CHECK_OK(
      script("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;"
             "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON"));
  CHOIR_TRY(version_of(schema));
  CHOIR_CHECK_OK(script("PRAGMA journal_mode = WAL"));
  if (CHOIR_TRY(number("PRAGMA user_version")) != schema.version())
    CHOIR_CHECK_OK(transaction([&] { return upgrade(schema); }));
  sqlite3_db_config(connection_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  return {};
}

}  // namespace choir
