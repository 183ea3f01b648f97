// Free space, folders, and a file that is being written; the errors of a disk are worded here.
//
// Any thread may call; all calls wait for the disk. `elsewhere` is the end of a message: what the
// owner of the file does to have it on another disk ("set CHOIR_MODELS to another disk").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "choir/result.h"

namespace choir {

// Makes it and the folders above it. kUnavailable: it cannot be made or written to. The message
// names it and ends with `advice`.
Status make_folder(const std::string& path, std::string_view advice);

// kUnavailable with need and free bytes when `folder` has less than `bytes` left.
Status check_space(const std::string& folder, std::uint64_t bytes, std::string_view elsewhere);

bool is_disk_full(int error_number);

// The Error for a failed write to `path`.
Error write_error(const std::string& path, int error_number, std::string_view elsewhere);

// A file that grows at its end. One owner, can be handed on.
class GrowingFile {
 public:
  enum class Start : unsigned char { kEmpty, kKeep };
  // `elsewhere` lives as long as the object.
  static Result<GrowingFile> open(const std::string& path, Start start, std::string_view elsewhere);

  std::uint64_t bytes() const { return bytes_; }
  Status add(std::string_view data);
  Status clear();  // back to no bytes
  Status sync();   // on the disk, not only in memory; some disks first say "full" here

 private:
  GrowingFile(Fd file, std::string path, std::string_view elsewhere, std::uint64_t bytes)
      : file_(std::move(file)), path_(std::move(path)), elsewhere_(elsewhere), bytes_(bytes) {}
  tl::unexpected<Error> failed(int error_number) const;

  Fd file_;
  std::string path_;
  std::string_view elsewhere_;
  std::uint64_t bytes_ = 0;
};

// Waits until a folder's new names are on the disk; a file system that cannot is not an error.
void sync_folder(const std::string& path);

}  // namespace choir
