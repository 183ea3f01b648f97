#include "terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include "choir/text.h"
#include "columns.h"

namespace choir::app {
namespace {

constexpr std::size_t kErrorCharacters = 1000;

std::atomic<int> failed_errno{0};

// As if SIGPIPE had its default action at the failed write.
void end_by_broken_pipe() {
  std::signal(SIGPIPE, SIG_DFL);
  sigset_t pipe_only;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  pthread_sigmask(SIG_UNBLOCK, &pipe_only, nullptr);
  raise(SIGPIPE);
}

// 0 or the errno.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {  // another process made the other end non-blocking
      pollfd writable{fd, POLLOUT, 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

bool is_dumb() {
  const char* term = std::getenv("TERM");
  return term == nullptr || std::string_view(term) == "dumb";
}

bool has_colour(Stream stream) {
  static const bool refused = [] {
    const char* no_color = std::getenv("NO_COLOR");
    return no_color != nullptr && *no_color != '\0';
  }();
  return !refused && can_redraw(stream);
}

std::string_view code_of(Style style) {
  switch (style) {
    case Style::kBold:
      return "\x1b[1m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kRed:
      return "\x1b[31m";
    case Style::kGreen:
      return "\x1b[32m";
    case Style::kYellow:
      return "\x1b[33m";
  }
  return "";
}

}  // namespace

bool is_terminal(Stream stream) { return isatty(static_cast<int>(stream)) == 1; }
bool can_redraw(Stream stream) { return is_terminal(stream) && !is_dumb(); }

std::string styled(Stream stream, Style style, std::string_view text) {
  if (!has_colour(stream)) return std::string(text);
  return std::string(code_of(style)).append(text).append("\x1b[0m");
}

Window window(Stream stream) {
  winsize size{};
  Window out;
  if (ioctl(static_cast<int>(stream), TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
    out = {size.ws_row, size.ws_col};
  return out;
}

void print(std::string_view text) {
  if (failed_errno.load() != 0) return;
  const int error = write_all(STDOUT_FILENO, text);
  if (error == EPIPE) end_by_broken_pipe();
  if (error != 0) failed_errno.store(error);
}

int output_error() { return failed_errno.load(); }

void watch_output() {
  pollfd out{STDOUT_FILENO, 0, 0};  // POLLERR is told without being asked for
  if (poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0) end_by_broken_pipe();
}

// What cannot be written is dropped: there is no other place to write it to.
void note(std::string_view text) { write_all(STDERR_FILENO, text); }

void complain(std::string_view sentence) {
  note("choir: " + printable_line(sentence, kErrorCharacters) + "\n");
}

std::string for_reader(Stream stream, std::string_view text) {
  if (!is_terminal(stream)) return std::string(text);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    const bool c1 = c == 0xC2 && next >= 0x80 && next < 0xA0;
    if (c1) ++i;
    if (c1 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) continue;
    out += text[i];
  }
  return out;
}

std::string fixed(double value, int digits) {
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::fixed, digits);
  if (end.ec != std::errc()) return "?";  // wider than the buffer: not a speed or a time
  return {buffer.data(), end.ptr};
}

std::string shortest(float value) {
  std::array<char, 32> buffer{};  // a float needs at most 15
  return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr};
}

std::string count_of(std::size_t n, std::string_view noun) {
  return std::to_string(n) + " " + std::string(noun) + (n == 1 ? "" : "s");
}

std::string table(const std::vector<std::vector<std::string>>& rows, std::string_view right) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - columns_of(row[i]), ' ');
      const bool to_the_right = i < right.size() && right[i] == 'r';
      out += to_the_right ? pad + row[i] : row[i] + (i + 1 < row.size() ? pad : "");
      if (i + 1 < row.size()) out += "  ";
    }
    out += '\n';
  }
  return out;
}

void LiveLines::show(const std::vector<std::string>& lines) {
  std::string out;
  if (shown_ > 0) out += "\x1b[" + std::to_string(shown_) + "A";
  for (const std::string& line : lines) out += "\r\x1b[2K" + line + "\n";
  if (lines.size() < shown_) out += "\x1b[J";
  shown_ = lines.size();
  note(out);
}

}  // namespace choir::app
