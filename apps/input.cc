#include "input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "interrupt.h"

namespace choir::app {
namespace {

constexpr std::size_t kInputBytesMax = 16U << 20U;  // longer than any context; stops `< /dev/zero`
constexpr int kLookEveryMs = 200;                   // the signal may have gone to another thread

Result<std::string> read_all(int fd, const std::string& name) {
  std::string text;
  std::array<char, 65536> chunk{};
  while (true) {
    const ssize_t n = read(fd, chunk.data(), chunk.size());
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kUnavailable, "cannot read " + name + ": " + std::strerror(errno));
    text.append(chunk.data(), static_cast<std::size_t>(n));
    if (text.size() > kInputBytesMax)
      return fail(Code::kInvalidArgument,
                  name + " has more than " + std::to_string(kInputBytesMax) + " bytes; shorten it");
  }
}

Result<std::string> read_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const Code code = errno == ENOENT ? Code::kNotFound : Code::kUnavailable;
    return fail(code, "cannot open " + path + ": " + std::strerror(errno));
  }
  auto text = read_all(fd, path);
  close(fd);
  return text;
}

}  // namespace

bool stdin_is_terminal() { return isatty(STDIN_FILENO) == 1; }

Result<std::string> read_stdin() {
  std::string text = CHOIR_TRY(read_all(STDIN_FILENO, "standard input"));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<std::vector<std::string>> read_lines(const std::string& path) {
  const std::string text = CHOIR_TRY(path == "-" ? read_stdin() : read_file(path));
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    if (line.find_first_not_of(" \t") != std::string::npos) lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

LineReader::Got LineReader::next(std::string& line) {
  while (true) {
    if (const auto end = buffer_.find('\n'); end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return Got::kLine;
    }
    if (ended_) {
      line = std::exchange(buffer_, {});
      return line.empty() ? Got::kEnd : Got::kLine;
    }
    pollfd input{STDIN_FILENO, POLLIN, 0};
    const int ready = poll(&input, 1, kLookEveryMs);
    if (interrupted()) return Got::kInterrupt;
    if (ready <= 0) continue;
    std::array<char, 4096> chunk{};
    const ssize_t n = read(STDIN_FILENO, chunk.data(), chunk.size());
    ended_ = n <= 0;
    if (n > 0) buffer_.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace choir::app
