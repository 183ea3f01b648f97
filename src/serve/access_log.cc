#include "serve/access_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace choir::serve {
namespace {

constexpr std::size_t kPathBytesMax = 512;  // of the path in a line
constexpr int kPatienceMs = 100;            // until a file that takes nothing is looked at again
constexpr double kMicro = 1e6;              // seconds are written in microseconds

double rounded(double seconds) { return std::round(seconds * kMicro) / kMicro; }

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

std::string utc_text(std::int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  const std::string milliseconds = std::to_string(1000 + unix_ms % 1000);
  return std::string(text, length) + "." + milliseconds.substr(1) + "Z";
}

std::string access_line(const Exchange& e, std::int64_t unix_ms) {
  nlohmann::ordered_json line = {{"time", utc_text(unix_ms)}, {"id", e.id}};
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) line[name] = text;
  };
  add("client", e.address);
  add("method", e.method);
  add("path", e.path.substr(0, kPathBytesMax));
  line["status"] = e.status;
  line["bytes"] = e.bytes;
  line["seconds"] = rounded(e.seconds);
  add("key", e.key);
  add("tenant", e.tenant);
  add("model", e.facts.model);
  if (e.facts.prompt_tokens > 0) {
    line["prompt_tokens"] = e.facts.prompt_tokens;
    line["output_tokens"] = e.facts.output_tokens;
    line["reused_tokens"] = e.facts.reused_tokens;
  }
  if (e.facts.first_token_seconds > 0)
    line["first_token_seconds"] = rounded(e.facts.first_token_seconds);
  add("traceparent", e.traceparent);
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

// ---- the file -----------------------------------------------------------------------------------

Status LogFile::open() {
  if (is_stderr()) return {};
  // A pipe without a reader is an error, and does not make this wait for one.
  Fd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0640));
  if (file.get() < 0)
    return fail(Code::kUnavailable,
                "the access log '" + path_ + "' cannot be written: " + std::strerror(errno));
  file_ = std::move(file);
  return {};
}

void LogFile::follow() {
  if (is_stderr()) return;
  struct stat there {};
  struct stat here {};
  if (::fstat(file_.get(), &here) != 0) return;
  if (::stat(path_.c_str(), &there) == 0 && same_file(there, here)) return;
  if (Status opened = open(); !opened && !std::exchange(complained_, true))
    log(LogLevel::kWarn, opened.error().message);  // the old file is written on
}

std::size_t LogFile::write(std::string_view text, const std::atomic<bool>& give_up) {
  const int fd = is_stderr() ? STDERR_FILENO : file_.get();
  while (!text.empty()) {
    pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) {
      if (give_up.load()) return text.size();
      continue;
    }
    // A pipe that is ready takes so much without waiting.
    const ssize_t count = ::write(fd, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
      complained_ = false;
    } else if (errno != EINTR && errno != EAGAIN) {
      if (!std::exchange(complained_, true))
        log(LogLevel::kWarn,
            "lines of the access log are lost: " + std::string(std::strerror(errno)));
      return text.size();
    }
  }
  return 0;
}

// ---- the log ------------------------------------------------------------------------------------

AccessLog::AccessLog(LogFile file, std::function<void(std::uint64_t)> on_dropped)
    : file_(std::move(file)), on_dropped_(std::move(on_dropped)) {}

Result<std::unique_ptr<AccessLog>> AccessLog::open(const std::string& path,
                                                   std::function<void(std::uint64_t)> on_dropped) {
  LogFile file(path);
  CHOIR_CHECK_OK(file.open());
  std::unique_ptr<AccessLog> made(new AccessLog(std::move(file), std::move(on_dropped)));
  made->writer_ = CHOIR_TRY(Workers::start({.threads = 1, .at_once = 1}));
  return made;
}

AccessLog::~AccessLog() {
  ending_.store(true);
  writer_.reset();
}

void AccessLog::add(Exchange exchange, std::int64_t unix_ms) {
  enum class Then { kNothing, kWake, kTellDropped };
  const Then then = waiting_.with([&](Waiting& w) {
    if (w.lines.size() >= kWaitingMax) {
      ++w.dropped;
      return Then::kTellDropped;
    }
    w.lines.push_back({std::move(exchange), unix_ms});
    return std::exchange(w.awaited, true) ? Then::kNothing : Then::kWake;
  });
  if (then == Then::kTellDropped) on_dropped_(1);
  if (then == Then::kWake)
    static_cast<void>(writer_->post(Workers::kNoKey, [this] { write_all(); }));
}

std::string AccessLog::text_of(const Waiting& taken) const {
  std::string text;
  for (const Line& line : taken.lines) text += access_line(line.exchange, line.ended_ms);
  if (taken.dropped > 0)
    text += R"({"time":")" + utc_text(unix_ms()) + R"(","dropped":)" +
            std::to_string(taken.dropped) + "}\n";
  return text;
}

void AccessLog::write_all() {
  for (;;) {
    const Waiting taken = waiting_.with([](Waiting& w) {
      w.awaited = !w.lines.empty();
      return w.awaited ? std::exchange(w, Waiting{{}, 0, true}) : Waiting{};
    });
    if (!taken.awaited) return;
    const std::string text = text_of(taken);
    file_.follow();
    const std::size_t left = file_.write(text, ending_);
    const auto lost = static_cast<std::uint64_t>(
        std::count(text.end() - static_cast<std::ptrdiff_t>(left), text.end(), '\n'));
    if (lost == 0) continue;
    waiting_.with([&](Waiting& w) { w.dropped += lost; });
    on_dropped_(lost);
  }
}

}  // namespace choir::serve
