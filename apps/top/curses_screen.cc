// A screen by ncurses. Only this file knows it.
#include <langinfo.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#define NCURSES_NOMACROS 1
#define NCURSES_WIDECHAR 1
#include <curses.h>

#include "top/screen.h"

namespace choir::app::top {
namespace {

constexpr int kEscapeMs = 25;  // how long the rest of a key's sequence may take

bool colour_refused() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color != nullptr && *no_color != '\0';
}

// For a terminal without UTF-8.
std::string ascii(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80)
      out += c;
    else if (byte >= 0xC0)
      out += '?';
  }
  return out;
}

class CursesScreen final : public Screen {
 public:
  explicit CursesScreen(SCREEN* screen) : screen_(screen) {
    cbreak();
    noecho();
    nonl();
    curs_set(0);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(kEscapeMs);
    if (!colour_refused() && has_colors() && start_color() == OK && use_default_colors() == OK) {
      static constexpr short kOf[kColours] = {COLOR_CYAN,    COLOR_YELLOW, COLOR_GREEN,
                                              COLOR_MAGENTA, COLOR_BLUE,   COLOR_RED};
      for (short i = 0; i < kColours; ++i) init_pair(static_cast<short>(i + 1), kOf[i], -1);
      coloured_ = true;
    }
    blocks_ = std::string_view(nl_langinfo(CODESET)) == "UTF-8";
  }
  ~CursesScreen() override {
    endwin();
    delscreen(screen_);
  }

  Size size() const override { return {getmaxx(stdscr), getmaxy(stdscr)}; }
  bool coloured() const override { return coloured_; }
  bool blocks() const override { return blocks_; }

  void show(const Grid& grid) override {
    werase(stdscr);
    int y = 0;
    for (const auto& row : grid.rows) {
      wmove(stdscr, y++, 0);
      for (const Piece& piece : row) {
        wattrset(stdscr, static_cast<int>(attributes(piece)));
        waddstr(stdscr, (blocks_ ? piece.text : ascii(piece.text)).c_str());
      }
    }
    wattrset(stdscr, A_NORMAL);
    wrefresh(stdscr);
  }

  std::optional<Press> pressed() override {
    switch (const int key = wgetch(stdscr)) {
      case ERR:
        return std::nullopt;
      case KEY_RESIZE:
        return Press{.resized = true};
      case KEY_UP:
        return Press{.key = Key::kUp};
      case KEY_DOWN:
        return Press{.key = Key::kDown};
      case KEY_LEFT:
        return Press{.key = Key::kLeft};
      case KEY_RIGHT:
        return Press{.key = Key::kRight};
      case '\t':
        return Press{.key = Key::kTab};
      case '\r':
      case '\n':
      case KEY_ENTER:
        return Press{.key = Key::kEnter};
      case 27:
        return Press{.key = Key::kEscape};
      case KEY_BACKSPACE:
      case 8:
      case 127:
        return Press{.key = Key::kErase};
      default:  // of another alphabet: none of ours
        return Press{.key = Key::kCharacter,
                     .character = key >= ' ' && key < 127 ? static_cast<char>(key) : '\0'};
    }
  }

  void leave() override {
    def_prog_mode();
    endwin();
  }
  void come_back() override {
    reset_prog_mode();
    clearok(stdscr, TRUE);
    wrefresh(stdscr);
  }

 private:
  static attr_t attributes(const Piece& piece) {
    const auto colour = static_cast<attr_t>(COLOR_PAIR(piece.colour));
    switch (piece.look) {
      case Look::kBold:
        return colour | A_BOLD;
      case Look::kDim:
        return colour | A_DIM;
      case Look::kMarked:
        return colour | A_REVERSE;
      case Look::kTitle:
        return colour | A_UNDERLINE;
      case Look::kAlarm:
        return colour | A_BOLD | A_REVERSE;
      case Look::kPlain:
        break;
    }
    return colour;
  }

  SCREEN* const screen_;
  bool coloured_ = false;
  bool blocks_ = false;
};

}  // namespace

std::unique_ptr<Screen> open_screen() {
  std::setlocale(LC_CTYPE, "");
  SCREEN* screen = newterm(nullptr, stdout, stdin);
  if (screen == nullptr) return nullptr;
  return std::make_unique<CursesScreen>(screen);
}

}  // namespace choir::app::top
