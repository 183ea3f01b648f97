// Conversations on the disk: they outlive their process, a kill -9 at any moment included.
//
// SQLite with a write-ahead log that is synced at every commit: what put() has answered for is
// there after a crash, what it has not is there whole or not at all. What comes back is what was
// put, or an error: every conversation has a checksum.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_lock.h"
#include "base/guarded.h"
#include "choir/result.h"
#include "context/conversation_record.h"

namespace choir {

class SqliteDatabase;

// Makes a folder for a store (0700) and gives its one name: whichever way it was written, by links
// too, the same folder has the same. kUnavailable.
Result<std::string> make_store_folder(const std::string& folder);

// Any thread may call; calls wait for each other, and for the disk. Errors of all: kUnavailable
// with the path and the reason (disk full, damaged, not ours, in use), kOutOfMemory.
class ConversationStore {
 public:
  // Makes the folder (0700) and in it "conversations.db" (0600). The folder has one owner: while
  // the object lives, a second open() is refused, in this process and in any other; two writers of
  // one conversation are a bug. A store of an older schema is upgraded, all or nothing; one of a
  // newer schema is refused with both versions, and left as it is.
  static Result<std::unique_ptr<ConversationStore>> open(const std::string& folder);
  ~ConversationStore();
  ConversationStore(const ConversationStore&) = delete;
  ConversationStore& operator=(const ConversationStore&) = delete;

  // Makes it, or brings the stored one to this state, in one transaction. Reads the stored one and
  // writes what differs: a turn more costs a few pages and one sync. kInvalidArgument: over a limit
  // of conversation_record.h, or without a name. Strings may hold any bytes.
  Status put(const ConversationRecord& record);
  // One that is not there is no error.
  Status erase(const std::string& executor, const std::string& id);

  Result<std::optional<ConversationRecord>> get(const std::string& executor,
                                                const std::string& id) const;
  // By their bytes, smallest first; so is all().
  Result<std::vector<std::string>> ids(const std::string& executor) const;
  // A damaged conversation is an error for all; ids() and get() read the others.
  Result<std::vector<ConversationRecord>> all(const std::string& executor) const;

 private:
  ConversationStore(FileLock lock, std::unique_ptr<SqliteDatabase> database);

  FileLock lock_;  // outlives the database
  Guarded<std::unique_ptr<SqliteDatabase>> database_;
};

}  // namespace choir
