#include "context/snapshot_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "base/disk.h"
#include "choir/text.h"

namespace choir {
namespace {

namespace fs = std::filesystem;

// What outlives the process of the order in which snapshots were used.
void touch(const std::string& path) { ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }

}  // namespace

// While one exists close() waits.
class SnapshotFolder::Work {
 public:
  explicit Work(Monitor<Index>& index)
      : index_(index), open_(index.with([](Index& i) {
          if (!i.closed) ++i.at_work;
          return !i.closed;
        })) {}
  ~Work() {
    if (open_) index_.change([](Index& i) { --i.at_work; });
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  Status open() const {
    if (open_) return {};
    return fail(Code::kUnavailable, "its conversations are not kept any more");
  }

 private:
  Monitor<Index>& index_;
  const bool open_;
};

SnapshotFolder::SnapshotFolder(std::string folder, std::uint64_t bytes_max)
    : folder_(std::move(folder)) {
  sweep_snapshots(folder_);
  index_.with([&](Index& index) {
    index.bytes_max = bytes_max;
    find_files(index);
    make_room(index, 0);
  });
}

void SnapshotFolder::find_files(Index& index) const {
  using Found = std::tuple<std::int64_t, std::int64_t, std::string, std::uint64_t>;
  std::vector<Found> found;  // by the time of their last use
  std::error_code error;
  const std::string folder = fs::path(path_of("", "")).parent_path().string();
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    struct stat info {};
    const std::string path = entry->path().string();
    if (path.ends_with(kSnapshotEnding) && ::lstat(path.c_str(), &info) == 0 &&
        S_ISREG(info.st_mode))
      found.emplace_back(info.st_mtim.tv_sec, info.st_mtim.tv_nsec, path,
                         static_cast<std::uint64_t>(info.st_size));
  }
  std::ranges::sort(found);
  for (const auto& [seconds, nanos, path, bytes] : found) note(index, path, bytes);
}

std::string SnapshotFolder::path_of(std::string_view executor, std::string_view id) const {
  return snapshot_path(folder_, executor, id);
}

void SnapshotFolder::make_room(Index& index, std::uint64_t bytes) {
  while (index.bytes + bytes > index.bytes_max && !index.files.empty()) {
    const auto oldest = std::ranges::min_element(
        index.files, {}, [](const auto& entry) { return entry.second.used; });
    const std::string path = oldest->first;
    ::unlink(path.c_str());  // if it cannot go now it is found again at the next start
    forget(index, path);
  }
}

void SnapshotFolder::forget(Index& index, const std::string& path) {
  const auto file = index.files.find(path);
  if (file == index.files.end()) return;
  index.bytes -= file->second.bytes;
  index.files.erase(file);
}

void SnapshotFolder::note(Index& index, const std::string& path, std::uint64_t bytes) {
  forget(index, path);
  index.files.emplace(path, File{bytes, ++index.last_use});
  index.bytes += bytes;
}

Result<Snapshot> SnapshotFolder::read(std::string_view executor, std::string_view id) {
  const Work work(index_);
  CHOIR_CHECK_OK(work.open());
  const std::string path = path_of(executor, id);
  auto snapshot = read_snapshot(path);
  if (!snapshot) return snapshot;
  touch(path);
  index_.with([&](Index& index) {
    if (const auto file = index.files.find(path); file != index.files.end())
      file->second.used = ++index.last_use;
  });
  return snapshot;
}

Status SnapshotFolder::write(std::string_view executor, std::string_view id,
                             const Snapshot& snapshot) {
  const Work work(index_);
  CHOIR_CHECK_OK(work.open());
  const std::string path = path_of(executor, id);
  const std::uint64_t bytes = snapshot_bytes(snapshot);
  const std::uint64_t bytes_max = index_.with([&](Index& index) {
    if (bytes > index.bytes_max) return index.bytes_max;
    // Counted from now on, so that others that write make room for it too. The old file of this
    // path is replaced.
    forget(index, path);
    make_room(index, bytes);
    note(index, path, bytes);
    return UINT64_MAX;
  });
  if (bytes > bytes_max)
    return fail(Code::kOverloaded, "its KV state has " + bytes_text(bytes) + ", '" + folder_ +
                                       "' keeps at most " + bytes_text(bytes_max) +
                                       " of them; raise store_kv_mib_max");
  Status written = write_snapshot(path, snapshot);
  index_.with([&](Index& index) {
    struct stat info {};
    if (written && !index.files.contains(path)) {  // it had to leave before it was there
      ::unlink(path.c_str());
    } else if (!written) {  // what was there before is still there
      forget(index, path);
      if (::lstat(path.c_str(), &info) == 0)
        note(index, path, static_cast<std::uint64_t>(info.st_size));
    }
  });
  return written;
}

Status SnapshotFolder::erase(std::string_view executor, std::string_view id) {
  const Work work(index_);
  CHOIR_CHECK_OK(work.open());
  const std::string path = path_of(executor, id);
  // Under the lock: one that is just being written finds that it is not wanted any more.
  const int error_number = index_.with([&](Index& index) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno;
    forget(index, path);
    return 0;
  });
  if (error_number != 0)
    return fail(Code::kUnavailable, "cannot erase snapshot '" + path +
                                        "': " + std::generic_category().message(error_number));
  sync_folder(fs::path(path).parent_path().string());
  return {};
}

bool SnapshotFolder::has(std::string_view executor, std::string_view id) const {
  const std::string path = path_of(executor, id);
  return index_.with([&](const Index& index) { return index.files.contains(path); });
}

std::uint64_t SnapshotFolder::bytes() const {
  return index_.with([](const Index& index) { return index.bytes; });
}

void SnapshotFolder::set_bytes_max(std::uint64_t bytes_max) {
  index_.with([&](Index& index) {
    index.bytes_max = bytes_max;
    make_room(index, 0);
  });
}

void SnapshotFolder::close() {
  index_.with([](Index& index) { index.closed = true; });
  index_.wait([](const Index& index) { return index.at_work == 0; });
}

}  // namespace choir
