// What the tests of ConversationStore share: a folder with a store, and looks into its database.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <memory>
#include <string>
#include <vector>

#include "context/store.h"
#include "tests/temp_folder.h"

namespace choir {

inline ConversationRecord record(const std::string& executor, const std::string& id) {
  ConversationRecord r;
  r.executor = executor;
  r.id = id;
  return r;
}

inline void append_turn(ConversationRecord& r, std::size_t tokens, std::size_t text_bytes) {
  const std::string text(text_bytes / 2, static_cast<char>('a' + r.turns % 26));
  r.history.push_back({"user", text});
  r.history.push_back({"assistant", text});
  for (std::size_t i = 0; i < tokens; ++i)
    r.tokens.push_back(static_cast<TokenId>(r.turns * tokens + i));
  r.covered += text + text;
  ++r.turns;
}

// Another program's look at the database.
inline std::vector<std::string> sql(const std::string& path, const std::string& statements) {
  sqlite3* connection = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &connection), SQLITE_OK);
  std::vector<std::string> rows;
  const auto add = [](void* to, int columns, char** values, char**) {
    std::string row;
    for (int i = 0; i < columns; ++i) row += std::string(values[i] ? values[i] : "NULL") + "|";
    static_cast<std::vector<std::string>*>(to)->push_back(row);
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(connection, statements.c_str(), add, &rows, nullptr), SQLITE_OK)
      << sqlite3_errmsg(connection);
  sqlite3_close(connection);
  return rows;
}

inline void expect_unavailable(const Error& error, const std::string& says) {
  EXPECT_EQ(error.code, Code::kUnavailable) << error.message;
  EXPECT_THAT(error.message, testing::HasSubstr(says));
}

class StoreFolder : public testing::Test {
 protected:
  void open() { store_ = ConversationStore::open(folder_ / "store").value(); }
  void reopen() {
    store_.reset();
    open();
  }
  void expect_kept(const ConversationRecord& r) {
    EXPECT_EQ(store_->get(r.executor, r.id).value(), r);
  }
  // Refuses to open, with this in the message.
  void expect_refused(const std::string& says) {
    const auto store = ConversationStore::open(folder_ / "store");
    ASSERT_FALSE(store);
    expect_unavailable(store.error(), says);
    EXPECT_THAT(store.error().message, testing::HasSubstr(folder_.path()));
  }
  std::string database() const { return folder_ / "store/conversations.db"; }

  const TempFolder folder_;
  std::unique_ptr<ConversationStore> store_;
};

}  // namespace choir
