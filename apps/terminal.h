// Standard output and error: results go out, everything else goes to error.
//
// A closed pipe (`choir run … | head -1`) ends the program as it ends cat or grep: killed by
// SIGPIPE, nothing said. It is raised from here, after write() failed, so that a pipe of the
// library's own (to a child process, to a server) never kills us. From any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace choir::app {

enum class Stream : int { kOut = 1, kErr = 2 };
enum class Style { kBold, kDim, kRed, kGreen, kYellow };

bool is_terminal(Stream stream);
// On a terminal that is not "dumb", and without NO_COLOR.
std::string styled(Stream stream, Style style, std::string_view text);
// Lines can be redrawn in place: a terminal that is not "dumb".
bool can_redraw(Stream stream);

struct Window {
  int rows = 24;
  int columns = 80;
};
Window window(Stream stream);

// All of it or nothing more: after a failed write (disk full) the rest is dropped and
// output_error() has the errno, which main turns into a sentence and exit code 1.
void print(std::string_view text);
int output_error();
// Ends the program by SIGPIPE when standard output is a pipe whose reader has gone: for work that
// has nothing to write for a while.
void watch_output();

// To standard error, as it is.
void note(std::string_view text);
// "choir: sentence" on one line of standard error.
void complain(std::string_view sentence);

// Text of a model for a terminal: without control characters other than newline and tab, so that no
// output can move the cursor or retitle the window. For anything else it is the text itself.
std::string for_reader(Stream stream, std::string_view text);

std::string fixed(double value, int digits);
// As short as it can be read back: 0.7 and not 0.699999988.
std::string shortest(float value);
// "1 session", "3 sessions".
std::string count_of(std::size_t n, std::string_view noun);
// Cells padded to columns; the first column left, the rest as asked by `right`.
std::string table(const std::vector<std::vector<std::string>>& rows, std::string_view right);

// A few lines at the bottom of standard error, redrawn in place; needs can_redraw(kErr).
class LiveLines {
 public:
  // Lines longer than the window are cut by the caller.
  void show(const std::vector<std::string>& lines);

 private:
  std::size_t shown_ = 0;
};

}  // namespace choir::app
