// The access log: one line of JSON for each exchange that has ended.
//
// A thread of its own writes the lines, so a slow disk holds nobody up. What comes while
// kWaitingMax lines wait is dropped; the number of those is in the log (`dropped`) and told to
// on_dropped.
//
// The file may be moved away at any time, as logrotate does: the next line goes to a new file under
// the old name. Nothing needs to be signalled.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/guarded.h"
#include "base/workers.h"
#include "choir/result.h"
#include "serve/exchange.h"

namespace choir::serve {

// The line, with its end. `unix_ms`: when the exchange ended. Fields that have no value are left
// out. Pure: any thread.
std::string access_line(const Exchange& exchange, std::int64_t unix_ms);

// "2026-11-27T04:44:38.120Z" (RFC 3339). Pure: any thread.
std::string utc_text(std::int64_t unix_ms);

// The bytes of one file that is appended to. One thread.
class LogFile {
 public:
  // "-" is stderr. The file is made if it is not there, readable for its owner and group.
  explicit LogFile(std::string path) : path_(std::move(path)) {}
  // kUnavailable: it cannot be opened for writing.
  Status open();
  // Opens it again if another file, or none, has its name now.
  void follow();
  // Blocks until all is written. Where the reader of a pipe takes nothing, until `give_up` is true.
  // Returns how many bytes were not written.
  std::size_t write(std::string_view text, const std::atomic<bool>& give_up);

 private:
  bool is_stderr() const { return path_ == "-"; }
  const std::string path_;
  Fd file_;
  bool complained_ = false;  // about what goes wrong since the last time that it went well
};

class AccessLog {
 public:
  static constexpr std::size_t kWaitingMax = 8192;  // some hundred bytes each

  // `path`: as LogFile. `on_dropped`: how many more lines are lost; any thread calls it, and it
  // must not block. kUnavailable: the file cannot be opened, or no thread can be had.
  static Result<std::unique_ptr<AccessLog>> open(const std::string& path,
                                                 std::function<void(std::uint64_t)> on_dropped);
  // Writes what waits; where the reader of a pipe takes nothing, that is dropped.
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Any thread; does not block.
  void add(Exchange exchange, std::int64_t unix_ms);

 private:
  struct Line {
    Exchange exchange;
    std::int64_t ended_ms = 0;
  };
  struct Waiting {
    std::vector<Line> lines;
    std::uint64_t dropped = 0;  // since the log has last told of some
    bool awaited = false;       // the writer will look, or is looking
  };
  AccessLog(LogFile file, std::function<void(std::uint64_t)> on_dropped);
  void write_all();
  std::string text_of(const Waiting& taken) const;

  LogFile file_;  // the writer's
  const std::function<void(std::uint64_t)> on_dropped_;
  std::atomic<bool> ending_{false};
  Guarded<Waiting> waiting_;
  std::unique_ptr<Workers> writer_;  // ends first: its work uses the rest
};

}  // namespace choir::serve
