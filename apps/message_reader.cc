#include "message_reader.h"

#include <termios.h>
#include <unistd.h>

#include <string_view>

#include "terminal.h"

namespace choir::app {
namespace {

constexpr std::string_view kPasteBegin = "\x1b[200~";
constexpr std::string_view kPasteEnd = "\x1b[201~";
constexpr std::string_view kQuote = R"(""")";

// Asks the terminal to put marks around what is pasted. Control characters are then echoed as they
// are, and not as ^[: a terminal does not show the marks.
class PasteMarks {
 public:
  PasteMarks() {
    if (!stdin_is_terminal() || !can_redraw(Stream::kErr)) return;
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios with_marks = before_;
    with_marks.c_lflag &= ~static_cast<tcflag_t>(ECHOCTL);
    on_ = tcsetattr(STDIN_FILENO, TCSANOW, &with_marks) == 0;
    if (on_) note("\x1b[?2004h");
  }
  ~PasteMarks() {
    if (!on_) return;
    note("\x1b[?2004l");
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  PasteMarks(const PasteMarks&) = delete;
  PasteMarks& operator=(const PasteMarks&) = delete;

 private:
  termios before_{};
  bool on_ = false;
};

// Whether a pasted text goes on behind `line`, which loses its marks.
bool goes_on(std::string& line, bool pasting) {
  for (std::size_t at = 0;;) {
    const std::string_view mark = pasting ? kPasteEnd : kPasteBegin;
    at = line.find(mark, at);
    if (at == std::string::npos) return pasting;
    line.erase(at, mark.size());
    pasting = !pasting;
  }
}

std::string_view trimmed(std::string_view text, std::string_view what) {
  const auto begin = text.find_first_not_of(what);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(what) - begin + 1);
}

bool is_open(std::string_view text) {
  return text.starts_with(kQuote) && (text.size() < 2 * kQuote.size() || !text.ends_with(kQuote));
}

}  // namespace

LineReader::Got MessageReader::next(Message& message) {
  const PasteMarks marks;
  message = {};
  bool pasting = false;
  for (bool first = true;; first = false) {
    std::string line;
    const LineReader::Got got = lines_.next(line);
    if (got == LineReader::Got::kInterrupt) return got;
    if (got == LineReader::Got::kEnd && first) return got;
    if (got == LineReader::Got::kLine) {
      pasting = goes_on(line, pasting);
      if (!first) message.text += '\n';
      message.text += line;
      message.as_is = !first;
      if (pasting) continue;
    }
    std::string_view text = trimmed(message.text, " \t\r\n");
    if (got == LineReader::Got::kLine && is_open(text)) {
      note("... ");
      continue;
    }
    if (text.starts_with(kQuote)) {
      text.remove_prefix(kQuote.size());
      if (text.ends_with(kQuote)) text.remove_suffix(kQuote.size());
      message.as_is = true;
    }
    message.text = std::string(trimmed(text, message.as_is ? "\r\n" : " \t\r"));
    return LineReader::Got::kLine;
  }
}

}  // namespace choir::app
