// The terminal that `choir top` draws on; the seam to the library that knows terminals.
//
// One at a time, on the main thread. Nothing blocks but a terminal that takes no output.
#pragma once

#include <memory>
#include <optional>

#include "top/draw.h"

namespace choir::app::top {

class Screen {
 public:
  Screen() = default;
  virtual ~Screen() = default;  // gives the terminal back as it was
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  virtual Size size() const = 0;
  virtual bool coloured() const = 0;
  virtual bool blocks() const = 0;  // it writes UTF-8
  virtual void show(const Grid& grid) = 0;

  struct Press {
    Key key = Key::kCharacter;
    char character = 0;
    bool resized = false;  // no key: the terminal has another size
  };
  // What was pressed and not taken yet; nullopt: nothing.
  virtual std::optional<Press> pressed() = 0;

  // Around a stop of the process: the terminal is the shell's meanwhile.
  virtual void leave() = 0;
  virtual void come_back() = 0;
};

// On standard input and output. Null: the program was built without a library for it
// (CHOIR_TOP=OFF), or the library does not know this terminal.
std::unique_ptr<Screen> open_screen();

}  // namespace choir::app::top
