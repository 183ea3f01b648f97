// A folder in which conversations are kept: their records and the snapshots of their KV state.
//
// Executors of a process share it, whatever they call it; it is let go of, with its lock, in the
// moment in which the last of them ends its use.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "context/snapshot_folder.h"
#include "context/store.h"

namespace choir {

// An open one. Threads: every call from any thread. After close() all are refused with
// kUnavailable.
class ConversationFolder {
 public:
  // `path`: of make_store_folder().
  static Result<std::shared_ptr<ConversationFolder>> open(const std::string& path,
                                                          std::uint64_t kv_bytes_max);

  // As in ConversationStore.
  Status put(const ConversationRecord& record);
  Status erase(const std::string& executor, const std::string& id);
  Result<std::optional<ConversationRecord>> get(const std::string& executor,
                                                const std::string& id) const;
  Result<std::vector<std::string>> ids(const std::string& executor) const;
  SnapshotFolder& snapshots() { return snapshots_; }
  // Waits for the calls that are under way.
  void close();

 private:
  ConversationFolder(std::unique_ptr<ConversationStore> store, const std::string& path,
                     std::uint64_t kv_bytes_max)
      : store_(std::move(store)), snapshots_(path, kv_bytes_max) {}

  Guarded<std::unique_ptr<ConversationStore>> store_;  // null: closed
  SnapshotFolder snapshots_;
};

// All that are open.
class OpenFolders {
 public:
  // One executor's use of a folder; ends with the object.
  class Use {
   public:
    Use() = default;
    Use(OpenFolders& all, std::string path, std::shared_ptr<ConversationFolder> folder)
        : all_(&all), path_(std::move(path)), folder_(std::move(folder)) {}
    Use(Use&& other) noexcept { *this = std::move(other); }
    Use& operator=(Use&& other) noexcept {
      std::swap(all_, other.all_);
      path_.swap(other.path_);
      folder_.swap(other.folder_);
      return *this;
    }
    ~Use() {
      if (all_ != nullptr) all_->end(path_);
    }
    const std::shared_ptr<ConversationFolder>& folder() const { return folder_; }

   private:
    OpenFolders* all_ = nullptr;
    std::string path_;
    std::shared_ptr<ConversationFolder> folder_;
  };
  // Opens it if it is not in use yet. The limit of `kv/` is that of its latest user. Waits for
  // others that open or close.
  Result<Use> use(const std::string& folder, std::uint64_t kv_bytes_max);

 private:
  struct Entry {
    std::shared_ptr<ConversationFolder> folder;
    int uses = 0;
  };
  void end(const std::string& path);

  Guarded<std::map<std::string, Entry>> folders_;  // by path
};

}  // namespace choir
