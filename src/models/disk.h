// What can go wrong with a disk, said once: free space, folders, and a file that is being written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "choir/result.h"

namespace choir {

// kUnavailable that names the folder and the variable to change.
Status make_folder(const std::string& path);

// kUnavailable with need and free bytes when `folder` has less than `bytes` left.
Status check_space(const std::string& folder, std::uint64_t bytes);

bool is_disk_full(int error_number);

// The Error for a failed write to `path`. `elsewhere`: what its owner does to have it on another
// disk.
inline constexpr std::string_view kModelsElsewhere = "set CHOIR_MODELS to another disk";
Error write_error(const std::string& path, int error_number,
                  std::string_view elsewhere = kModelsElsewhere);

// A file that grows at its end. One owner, can be handed on.
class GrowingFile {
 public:
  enum class Start : unsigned char { kEmpty, kKeep };
  static Result<GrowingFile> open(const std::string& path, Start start);

  std::uint64_t bytes() const { return bytes_; }
  Status add(std::string_view data);
  Status clear();  // back to no bytes
  Status sync();   // on the disk, not only in memory; some disks first say "full" here

 private:
  GrowingFile(Fd file, std::string path, std::uint64_t bytes)
      : file_(std::move(file)), path_(std::move(path)), bytes_(bytes) {}

  Fd file_;
  std::string path_;
  std::uint64_t bytes_ = 0;
};

// Waits until a folder's new names are on the disk; a file system that cannot is not an error.
void sync_folder(const std::string& path);

}  // namespace choir
