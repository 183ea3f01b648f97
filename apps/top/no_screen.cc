// Of a program without ncurses: there is no screen, and `choir top` writes lines.
#include "top/screen.h"

namespace choir::app::top {

std::unique_ptr<Screen> open_screen() { return nullptr; }

}  // namespace choir::app::top
