// One process, and one thread of it, at a time: an advisory lock on a file that stays.
//
// The file is never removed: a second holder could otherwise lock a name that is already gone.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "choir/result.h"

namespace choir {

class FileLock {
 public:
  // Waits for another holder, asking `go_on` before and between tries. Errors: kCancelled (go_on
  // said no), kUnavailable, with `elsewhere` as write_error() takes it. The lock ends with the
  // object, or with the process.
  static Result<FileLock> take(const std::string& path, std::string_view elsewhere,
                               const std::function<bool()>& go_on);

 private:
  explicit FileLock(Fd file) : file_(std::move(file)) {}
  Fd file_;
};

}  // namespace choir
