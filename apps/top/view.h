// All that a picture of `choir top` depends on, and what keys do to it.
//
// Values and pure functions; any thread.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "top/state.h"

namespace choir::app::top {

// Tokens a second, from the counts of the last seconds.
class Rates {
 public:
  // `seconds` never go back.
  void look(const State& state, double seconds);
  // Output tokens a second; nullopt: it has not been looked at for long enough.
  std::optional<double> of(const std::string& model) const;
  std::optional<double> total() const;

 private:
  bool is_known() const;

  struct Sample {
    double seconds = 0;
    std::map<std::string, std::int64_t> tokens{};
  };
  std::string epoch_;
  std::deque<Sample> samples_;
};

enum class Table { kModels, kRequests };
enum class Order { kAge, kModel, kState, kTenant, kOutput };
inline constexpr std::size_t kOrders = 5;

// What the user has chosen.
struct Chosen {
  Table table = Table::kModels;  // that the arrows move in
  std::string model, request;    // the marked rows; one that is not there: the first
  Order order = Order::kAge;
  bool backwards = false;
  std::string filter;
  bool typing = false;  // the filter is typed
  bool frozen = false;
  bool help = false;
  struct Question {
    std::string text;                // "Unload 'x'?"
    std::string method, path, done;  // what is asked of the daemon, and what is said of it then
  };
  std::optional<Question> question{};
  std::string notice;  // one line, until the next key
};

struct View {
  State state;
  Rates rates;
  Chosen chosen;
  std::int64_t now_ms = 0;  // since 1970
  std::string not_live;     // why; empty: what is shown is live
  bool coloured = true;     // else letters alone tell models apart
  bool blocks = true;       // the terminal has block characters
};

// The rows that are shown, in their order.
std::vector<const Model*> models_of(const View& view);
std::vector<const Request*> requests_of(const View& view);
// Where the marked row is in those; 0 where it is not.
std::size_t marked_model(const View& view);
std::size_t marked_request(const View& view);
// A letter for each model that is known; those of two models differ while there are letters.
std::map<std::string, char> letters_of(const State& state);

enum class Key { kCharacter, kUp, kDown, kLeft, kRight, kTab, kEnter, kEscape, kErase };
enum class Effect { kNone, kQuit, kAsk };  // kAsk: send chosen.question, which is answered with yes
Effect press(View& view, Key key, char character = 0);

}  // namespace choir::app::top
