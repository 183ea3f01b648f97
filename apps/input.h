// What comes in: standard input and small text files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choir/result.h"

namespace choir::app {

bool stdin_is_terminal();

// All of standard input, without one newline at its end (echo adds it, and it is not meant).
Result<std::string> read_stdin();
// Lines that are not blank, without their line ends; "-" is standard input.
Result<std::vector<std::string>> read_lines(const std::string& path);

// Lines as a person types them. Ctrl-C is seen while a Graceful lives, else it ends the program.
class LineReader {
 public:
  enum class Got : std::uint8_t { kLine, kEnd, kInterrupt };
  // The line without its end. A last line without a newline is a line.
  Got next(std::string& line);

 private:
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace choir::app
