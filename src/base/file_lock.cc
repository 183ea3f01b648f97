#include "base/file_lock.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include <cerrno>

#include "base/disk.h"

namespace choir {
namespace {

constexpr int kAskAgainMs = 100;  // a person does not notice; a cancel is seen as soon

}  // namespace

Result<FileLock> FileLock::take(const std::string& path, std::string_view elsewhere,
                                const std::function<bool()>& go_on) {
  Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!file) return tl::unexpected(write_error(path, errno, elsewhere));
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return tl::unexpected(write_error(path, errno, elsewhere));
    if (!go_on())
      return fail(Code::kCancelled, "stopped while another holder had the lock '" + path + "'");
    ::poll(nullptr, 0, kAskAgainMs);
  }
  return FileLock(std::move(file));
}

}  // namespace choir
