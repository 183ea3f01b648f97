// What a person says in a chat: a line, a pasted text, or lines between """ and """.
#pragma once

#include <string>

#include "input.h"

namespace choir::app {

class MessageReader {
 public:
  struct Message {
    std::string text;
    bool as_is = false;  // pasted in several lines, or quoted: never a command
  };
  // Ctrl-D ends the chat, or a message that has begun.
  LineReader::Got next(Message& message);

 private:
  LineReader lines_;
};

}  // namespace choir::app
