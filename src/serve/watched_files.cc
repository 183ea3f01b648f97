#include "serve/watched_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "models/folder.h"

namespace choir::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kOfEntries =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR;
constexpr std::uint32_t kOfFile = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE;
constexpr int kLinksMax = 40;  // as the kernel follows
constexpr std::size_t kEventBytes = 16U << 10U;

// Those of which the kernel of this machine sees all changes.
constexpr std::array<std::uint32_t, 9> kLocal = {
    EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC, TMPFS_MAGIC, F2FS_SUPER_MAGIC,
    RAMFS_MAGIC,      OVERLAYFS_SUPER_MAGIC, SQUASHFS_MAGIC,    0x2fc12fc1 /* zfs */};

bool is_local(const std::string& path) {
  struct statfs status {};
  if (::statfs(path.c_str(), &status) != 0) return false;
  return std::ranges::find(kLocal, static_cast<std::uint32_t>(status.f_type)) != kLocal.end();
}

std::optional<std::string> target_of(const std::string& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  if (error) return std::nullopt;
  return target.string();
}

// The names of a path, the last one first.
std::vector<std::string> names_backwards(const std::string& path) {
  std::vector<std::string> names;
  for (const fs::path& name : fs::path(path))
    if (!name.empty() && name != "/" && name != ".") names.push_back(name.string());
  std::ranges::reverse(names);
  return names;
}

}  // namespace

// One queue of events for all paths that ever came, because closing one takes the kernel some
// milliseconds.
class WatchedFiles::Watches {
 public:
  // From now on these paths, and no others. False: one of them cannot be watched.
  bool walk(const Paths& paths) {
    if (!open()) return false;
    folders_.clear();
    files_.clear();
    return std::ranges::all_of(paths.files, [&](const std::string& file) { return add(file); }) &&
           add(paths.folder) && add_entries(paths.folder);
  }

  bool have_changed() {
    std::array<epoll_event, 2> ready{};
    const int count = ::epoll_wait(events_.get(), ready.data(), ready.size(), 0);
    if (count == 0) return false;
    const bool mounted = std::ranges::any_of(
        std::span(ready).first(static_cast<std::size_t>(std::max(count, 0))),
        [&](const epoll_event& event) { return event.data.fd == mounts_.get(); });
    return read_events() || mounted || count < 0;
  }

 private:
  // What of a folder matters.
  struct Entries {
    bool all = false;
    std::set<std::string, std::less<>> names;
  };

  bool open() {
    if (events_) return true;
    inotify_ = Fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    mounts_ = Fd(::open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
    // The cheapest of all calls that ask: the kernel has noted what is ready when it came.
    Fd events(::epoll_create1(EPOLL_CLOEXEC));
    const auto add = [&](const Fd& fd, std::uint32_t what) {
      epoll_event event{};
      event.events = what;
      event.data.fd = fd.get();
      return ::epoll_ctl(events.get(), EPOLL_CTL_ADD, fd.get(), &event) == 0;
    };
    if (!add(inotify_, EPOLLIN) || !add(mounts_, EPOLLPRI)) return false;
    events_ = std::move(events);
    return true;
  }

  // Each step from the root to what the path leads to. False: one of them cannot be watched.
  bool add(const std::string& path) {
    std::error_code error;
    std::vector<std::string> rest = names_backwards(fs::absolute(path, error).string());
    fs::path at = "/";
    for (int links = 0; !error && !rest.empty();) {
      const std::string name = std::exchange(rest.back(), {});
      rest.pop_back();
      if (name == "..") {
        at = at.parent_path();  // `at` has no links
        continue;
      }
      if (!watch_entry(at, name)) return false;
      const std::string next = (at / name).string();
      struct stat status {};
      if (::lstat(next.c_str(), &status) != 0) return errno == ENOENT;  // its coming is seen
      if (S_ISLNK(status.st_mode)) {
        const auto target = target_of(next);
        if (!target || ++links > kLinksMax) return false;
        if (target->starts_with('/')) at = "/";
        for (std::string& step : names_backwards(*target)) rest.push_back(std::move(step));
      } else if (S_ISDIR(status.st_mode)) {
        at = next;
      } else {
        return watch_file(next);
      }
    }
    return !error;
  }
  bool add_entries(const std::string& folder) {
    std::error_code error;
    const fs::path at = fs::canonical(folder, error);
    if (error) return error == std::errc::no_such_file_or_directory;
    const int watch = add_watch(at.string(), kOfEntries);
    if (watch < 0) return false;
    folders_[watch].all = true;
    fs::directory_iterator entries(at, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error))
      if (is_model_file(entries->path()) && !add(entries->path().string())) return false;
    return !error;
  }
  bool watch_entry(const fs::path& folder, const std::string& name) {
    const int watch = add_watch(folder.string(), kOfEntries);
    if (watch < 0) return false;
    folders_[watch].names.insert(name);
    return true;
  }
  bool watch_file(const std::string& path) {
    const int watch = add_watch(path, kOfFile);
    files_.insert(watch);
    return watch >= 0;
  }
  int add_watch(const std::string& path, std::uint32_t events) {
    const int watch =
        ::inotify_add_watch(inotify_.get(), path.c_str(), events | IN_DONT_FOLLOW | IN_MASK_ADD);
    return watch >= 0 && is_local(path) ? watch : -1;
  }

  // All that have come; whether one of them matters.
  bool read_events() {
    alignas(inotify_event) std::array<char, kEventBytes> bytes;
    for (bool matter = false;;) {
      const ssize_t size = ::read(inotify_.get(), bytes.data(), bytes.size());
      if (size < 0 && errno == EAGAIN) return matter;
      if (size <= 0) return true;
      for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
        inotify_event event{};
        std::memcpy(&event, bytes.data() + at, sizeof event);
        const char* const name = bytes.data() + at + sizeof event;
        if (matters(event, event.len > 0 ? std::string_view(name) : std::string_view()))
          matter = true;
        at += sizeof event + event.len;
      }
    }
  }
  // An event without a name is of a file, of a folder itself, or of the queue, which was full.
  bool matters(const inotify_event& event, std::string_view name) {
    const auto folder = folders_.find(event.wd);
    if (folder != folders_.end())
      return name.empty() || folder->second.all || folder->second.names.contains(name);
    if (event.wd < 0 || files_.contains(event.wd)) return true;
    if ((event.mask & IN_IGNORED) == 0)  // of earlier paths
      static_cast<void>(::inotify_rm_watch(inotify_.get(), event.wd));
    return false;
  }

  Fd inotify_;
  Fd mounts_;
  Fd events_;                       // of both
  std::map<int, Entries> folders_;  // by watch
  std::set<int> files_;             // watches
};

WatchedFiles::WatchedFiles() : watches_(std::make_unique<Watches>()) {}
WatchedFiles::~WatchedFiles() = default;

void WatchedFiles::look(State& s) {
  if (!s.watched || !watches_->have_changed()) return;
  s.watched = false;
  ++s.changes;
}

std::uint64_t WatchedFiles::changes() {
  return state_.with([&](State& s) {
    look(s);
    return s.changes;
  });
}

bool WatchedFiles::watch(const Paths& paths) {
  const auto are_watched = [&] {
    return state_.with([&](State& s) {
      look(s);
      return s.watched && s.paths == paths;
    });
  };
  if (are_watched()) return true;
  walking_.with([&](bool&) {
    if (are_watched()) return;  // another thread has just walked
    state_.with([](State& s) { s.watched = false; });
    const bool watched = watches_->walk(paths);
    state_.with([&](State& s) {
      s.watched = watched;
      s.paths = paths;
      ++s.changes;
    });
  });
  return false;
}

}  // namespace choir::serve
