// The snapshots of a folder (context/snapshot.h) within a limit of bytes: those unused for longest
// leave for the next one.
//
// Threads: every call from any thread; no lock is held while a file is read or written.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/guarded.h"
#include "context/snapshot.h"

namespace choir {

// Room for the KV state of some hundred long conversations of a small model.
inline constexpr std::uint64_t kSnapshotBytesMax = 4ULL << 30;

class SnapshotFolder {
 public:
  // Of the owner of `folder`: what killed writers left is removed, what is above the limit too.
  SnapshotFolder(std::string folder, std::uint64_t bytes_max);
  SnapshotFolder(const SnapshotFolder&) = delete;
  SnapshotFolder& operator=(const SnapshotFolder&) = delete;

  // As read_snapshot(); one that is read has been used.
  Result<Snapshot> read(std::string_view executor, std::string_view id);
  // As write_snapshot(). kOverloaded: it alone is more than the limit, and was not written.
  Status write(std::string_view executor, std::string_view id, const Snapshot& snapshot);
  Status erase(std::string_view executor, std::string_view id);
  bool has(std::string_view executor, std::string_view id) const;
  std::uint64_t bytes() const;
  void set_bytes_max(std::uint64_t bytes_max);
  // Waits for those that read and write; calls after it are refused with kUnavailable.
  void close();

 private:
  struct File {
    std::uint64_t bytes = 0;
    std::uint64_t used = 0;  // grows with every use
  };
  struct Index {
    std::map<std::string, File> files;  // by path
    std::uint64_t bytes = 0;
    std::uint64_t bytes_max = 0;
    std::uint64_t last_use = 0;
    int at_work = 0;
    bool closed = false;
  };
  class Work;  // one call that uses files

  std::string path_of(std::string_view executor, std::string_view id) const;
  void find_files(Index& index) const;
  static void make_room(Index& index, std::uint64_t bytes);
  static void forget(Index& index, const std::string& path);
  static void note(Index& index, const std::string& path, std::uint64_t bytes);

  const std::string folder_;
  mutable Monitor<Index> index_;
};

}  // namespace choir
