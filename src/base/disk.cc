#include "base/disk.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "choir/text.h"

namespace choir {
namespace {

std::string text_of(int error_number) { return std::generic_category().message(error_number); }

}  // namespace

Status make_folder(const std::string& path, std::string_view advice) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && ::access(path.c_str(), R_OK | W_OK | X_OK) != 0)
    error = std::error_code(errno, std::generic_category());
  if (!error) return {};
  return fail(Code::kUnavailable, "cannot write to the folder '" + path + "': " + error.message() +
                                      "; " + std::string(advice));
}

Status check_space(const std::string& folder, std::uint64_t bytes, std::string_view elsewhere) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return {};  // the write itself will tell
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  if (bytes <= free) return {};
  return fail(Code::kUnavailable, "not enough disk space in '" + folder + "': need " +
                                      bytes_text(bytes) + ", free " + bytes_text(free) +
                                      "; free some, or " + std::string(elsewhere));
}

bool is_disk_full(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

Error write_error(const std::string& path, int error_number, std::string_view elsewhere) {
  if (is_disk_full(error_number))
    return {Code::kUnavailable, "the disk is full (" + text_of(error_number) + ") while writing '" +
                                    path + "'; free some space, or " + std::string(elsewhere)};
  return {Code::kUnavailable, "cannot write '" + path + "': " + text_of(error_number)};
}

Result<GrowingFile> GrowingFile::open(const std::string& path, Start start,
                                      std::string_view elsewhere) {
  const int flags =
      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (start == Start::kEmpty ? O_TRUNC : 0);
  Fd file(::open(path.c_str(), flags, 0666));
  if (!file) return tl::unexpected(write_error(path, errno, elsewhere));
  const off_t end = ::lseek(file.get(), 0, SEEK_END);
  return GrowingFile(std::move(file), path, elsewhere,
                     end > 0 ? static_cast<std::uint64_t>(end) : 0);
}

tl::unexpected<Error> GrowingFile::failed(int error_number) const {
  return tl::unexpected(write_error(path_, error_number, elsewhere_));
}

Status GrowingFile::add(std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = ::write(file_.get(), data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed(errno);
    data.remove_prefix(static_cast<std::size_t>(written));
    bytes_ += static_cast<std::uint64_t>(written);
  }
  return {};
}

Status GrowingFile::clear() {
  if (::ftruncate(file_.get(), 0) != 0) return failed(errno);
  bytes_ = 0;
  return {};
}

Status GrowingFile::sync() {
  if (::fsync(file_.get()) != 0 && errno != EINVAL && errno != EROFS) return failed(errno);
  return {};
}

void sync_folder(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) ::fsync(folder.get());
}

}  // namespace choir
