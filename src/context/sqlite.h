// One SQLite file of ours: opened, made or upgraded, its statements compiled once, its errors as
// values.
//
// Every error is kUnavailable with the path and SQLite's reason, or kOutOfMemory.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/check.h"
#include "choir/result.h"

namespace choir {

class SqliteDatabase;

// Changes a database by one version. It runs in a transaction that it neither begins nor ends, and
// an error undoes all of it. It leaves no query open.
using SqliteStep = std::function<Status(SqliteDatabase&)>;

// What kind of file it is. The file has its version in PRAGMA user_version.
//
// A new file runs all steps and an older one those that it lacks, so both have the same tables. A
// change of the tables is a further step at the end; a step that was released stays as it is.
struct SqliteSchema {
  std::int32_t application_id = 0;  // not 0
  std::vector<SqliteStep> steps;    // step i brings version i to version i + 1; at least one

  std::int64_t version() const { return static_cast<std::int64_t>(steps.size()); }
};

// A compiled statement in use; at the end it is ready for its next user. The views that were bound
// must live until then; the views of a row are gone at the next.
class SqliteQuery {
 public:
  SqliteQuery(SqliteQuery&& other) noexcept
      : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}
  SqliteQuery& operator=(SqliteQuery&&) = delete;
  ~SqliteQuery();

  // Is there another row? Columns count from 0.
  Result<bool> row();
  std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string_view bytes(int column) const;

 private:
  friend class SqliteDatabase;
  SqliteQuery(const SqliteDatabase& database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  bool bind(int index, std::int64_t number);
  bool bind(int index, std::string_view bytes);  // a blob: holds any bytes, a NUL too

  const SqliteDatabase& database_;
  sqlite3_stmt* statement_;
};

// One thread at a time. Foreign keys are on; a commit is on the disk when it returns.
class SqliteDatabase {
 public:
  // Makes the file (0600) if there is none, and upgrades an older one. All steps of an upgrade are
  // one transaction: after an error, a crash or a kill the file is of its old version still, and
  // the next open() upgrades it. A file of our application without a version counts as version 1.
  // Refused and left as they are, with the log beside them: a file of another program, and one of a
  // newer version; the message has both versions.
  static Result<std::unique_ptr<SqliteDatabase>> open(const std::string& path,
                                                      const SqliteSchema& schema);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  const std::string& path() const { return path_; }
  // For what SQLite said last.
  tl::unexpected<Error> error() const;

  // `values` are for ?1, ?2, ...: numbers and views.
  template <class... Values>
  Result<SqliteQuery> query(const std::string& sql, const Values&... values) {
    SqliteQuery query = CHOIR_TRY(compiled(sql));
    int index = 0;
    const bool bound = (query.bind(++index, values) && ...);
    CHOIR_CHECK(bound, "a value has no place in the statement");
    return query;
  }
  template <class... Values>
  Status run(const std::string& sql, const Values&... values) {
    SqliteQuery rows = CHOIR_TRY(query(sql, values...));
    CHOIR_TRY(rows.row());
    return {};
  }
  // The first column of the first row; 0 where there is none.
  template <class... Values>
  Result<std::int64_t> number(const std::string& sql, const Values&... values) {
    SqliteQuery rows = CHOIR_TRY(query(sql, values...));
    return CHOIR_TRY(rows.row()) ? rows.number(0) : 0;
  }
  // Several statements without values.
  Status script(const std::string& sql);
  // All that `work` did, or nothing of it when it gives an error. `work` leaves no query open.
  template <class Work>
  Status transaction(Work&& work) {
    CHOIR_CHECK_OK(script("BEGIN IMMEDIATE"));
    Status done = work();
    if (done) done = script("COMMIT");
    if (!done) std::ignore = script("ROLLBACK");  // SQLite may have done it itself
    return done;
  }

 private:
  explicit SqliteDatabase(std::string path) : path_(std::move(path)) {}
  Result<SqliteQuery> compiled(const std::string& sql);
  Status prepare(const SqliteSchema& schema);
  // 0: nothing is in it yet. Errors: those of a file that is refused.
  Result<std::int64_t> version_of(const SqliteSchema& schema);
  Status upgrade(const SqliteSchema& schema);

  std::string path_;
  sqlite3* connection_ = nullptr;
  std::map<std::string, sqlite3_stmt*> statements_;
};

}  // namespace choir
