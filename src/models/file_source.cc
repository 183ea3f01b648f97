#include "models/file_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "base/disk.h"
#include "base/fd.h"

namespace choir {

Status copy_model(const std::string& path, const PullJob& job) {
  // Not blocking: opening a pipe without a writer would wait for ever.
  const Fd source(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!source)
    return fail(errno == ENOENT ? Code::kNotFound : Code::kUnavailable,
                "cannot read '" + path + "': " + std::generic_category().message(errno));
  struct stat info {};
  if (::fstat(source.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return fail(Code::kInvalidArgument, "'" + path + "' is not a regular file");
  const auto total = static_cast<std::uint64_t>(info.st_size);
  CHOIR_CHECK_OK(check_space(job.work, total, kModelsElsewhere));

  GrowingFile data =
      CHOIR_TRY(GrowingFile::open(job.data_path(), GrowingFile::Start::kEmpty, kModelsElsewhere));
  std::vector<char> buffer(std::size_t{1} << 20);
  for (;;) {
    if (is_cancelled(job)) return tl::unexpected(stopped());
    report(job, "fetching", data.bytes(), total);
    const ssize_t got = ::read(source.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return fail(Code::kUnavailable,
                  "cannot read '" + path + "': " + std::generic_category().message(errno));
    if (got == 0) return {};
    CHOIR_CHECK_OK(data.add({buffer.data(), static_cast<std::size_t>(got)}));
  }
}

}  // namespace choir
